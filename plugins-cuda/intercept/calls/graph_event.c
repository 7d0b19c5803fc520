// SPDX-License-Identifier: MIT
/*
 * Nodes of graphs that record an event or wait for one. Each launch of a graph makes the same
 * record, but ours have numbers that grow; so events that processes share cannot be used in a
 * graph, and the call that would do it fails.
 */
#include "intercept/calls/calls.h"
#include "intercept/records/events.h"

#include <stdbool.h>

CUresult ccr__event_refuse_in_graph(void)
{
	ccr_warn("an event with CU_EVENT_INTERPROCESS cannot be recorded by a graph, and a graph "
		 "cannot wait for one, under the interceptor");
	return CUDA_ERROR_NOT_SUPPORTED;
}

#define UNLESS_SHARED(event, call) \
	return ccr__event_find(event) ? ccr__event_refuse_in_graph() : call;

CUresult ccr__wrap_cuGraphAddEventRecordNode(CUgraphNode *node, CUgraph graph,
					     const CUgraphNode *nodes, size_t nr_nodes,
					     CUevent event){
	UNLESS_SHARED(event,
		      ccr__real.cuGraphAddEventRecordNode(node, graph, nodes, nr_nodes, event))}

CUresult ccr__wrap_cuGraphAddEventWaitNode(CUgraphNode *node, CUgraph graph,
					   const CUgraphNode *nodes, size_t nr_nodes,
					   CUevent event){
	UNLESS_SHARED(event,
		      ccr__real.cuGraphAddEventWaitNode(node, graph, nodes, nr_nodes, event))}

CUresult ccr__wrap_cuGraphEventRecordNodeSetEvent(CUgraphNode node, CUevent event){
	UNLESS_SHARED(event, ccr__real.cuGraphEventRecordNodeSetEvent(node, event))}

CUresult ccr__wrap_cuGraphEventWaitNodeSetEvent(CUgraphNode node, CUevent event){
	UNLESS_SHARED(event, ccr__real.cuGraphEventWaitNodeSetEvent(node, event))}

CUresult ccr__wrap_cuGraphExecEventRecordNodeSetEvent(CUgraphExec exec, CUgraphNode node,
						      CUevent event){
	UNLESS_SHARED(event, ccr__real.cuGraphExecEventRecordNodeSetEvent(exec, node, event))}

CUresult ccr__wrap_cuGraphExecEventWaitNodeSetEvent(CUgraphExec exec, CUgraphNode node,
						    CUevent event)
{
	UNLESS_SHARED(event, ccr__real.cuGraphExecEventWaitNodeSetEvent(exec, node, event))
}

/* --- nodes of any type --- */

static CUevent event_of(const CUgraphNodeParams *params)
{
	return params && (params->type == CU_GRAPH_NODE_TYPE_EVENT_RECORD ||
			  params->type == CU_GRAPH_NODE_TYPE_WAIT_EVENT)
		       ? params->event
		       : NULL;
}

CUresult ccr__wrap_cuGraphAddNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *nodes,
				  size_t nr_nodes, CUgraphNodeParams *params){
	UNLESS_SHARED(event_of(params),
		      ccr__real.cuGraphAddNode(node, graph, nodes, nr_nodes, params))}

CUresult ccr__wrap_cuGraphAddNode_v2(CUgraphNode *node, CUgraph graph, const CUgraphNode *nodes,
				     const CUgraphEdgeData *edges, size_t nr_nodes,
				     CUgraphNodeParams *params){
	UNLESS_SHARED(event_of(params),
		      ccr__real.cuGraphAddNode_v2(node, graph, nodes, edges, nr_nodes, params))}

CUresult ccr__wrap_cuGraphAddNode_v3(CUgraphNode *node, CUgraph graph, const CUgraphNode *nodes,
				     const CUgraphEdgeData *edges, size_t nr_nodes,
				     CUgraphNodeParams *params){
	UNLESS_SHARED(event_of(params),
		      ccr__real.cuGraphAddNode_v3(node, graph, nodes, edges, nr_nodes, params))}

CUresult ccr__wrap_cuGraphNodeSetParams(CUgraphNode node, CUgraphNodeParams *params){
	UNLESS_SHARED(event_of(params), ccr__real.cuGraphNodeSetParams(node, params))}

CUresult ccr__wrap_cuGraphNodeSetParams_v2(CUgraphNode node, CUgraphNodeParams *params){
	UNLESS_SHARED(event_of(params), ccr__real.cuGraphNodeSetParams_v2(node, params))}

CUresult ccr__wrap_cuGraphExecNodeSetParams(CUgraphExec exec, CUgraphNode node,
					    CUgraphNodeParams *params)
{
	UNLESS_SHARED(event_of(params), ccr__real.cuGraphExecNodeSetParams(exec, node, params))
}

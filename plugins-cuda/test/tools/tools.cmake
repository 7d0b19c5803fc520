# SPDX-License-Identifier: MIT
# Tools for the TypeScript tests of complete dumps and restores.
add_executable(pool-client ${CMAKE_CURRENT_LIST_DIR}/pool_client.c)
target_link_libraries(pool-client PRIVATE ccr_common)

add_library(fault-points MODULE ${CMAKE_CURRENT_LIST_DIR}/fault_points.c)
set_target_properties(fault-points PROPERTIES PREFIX "")
target_link_libraries(fault-points PRIVATE dl)

add_executable(kept-workload ${CMAKE_CURRENT_LIST_DIR}/kept_workload.c)
target_link_libraries(kept-workload PRIVATE ccr_common)

add_executable(collectives ${CMAKE_CURRENT_LIST_DIR}/collectives.c)
target_link_libraries(collectives PRIVATE ccr_common dl)

add_executable(with-pid ${CMAKE_CURRENT_LIST_DIR}/with_pid.c)

add_library(lost-answer MODULE ${CMAKE_CURRENT_LIST_DIR}/lost_answer.c)
set_target_properties(lost-answer PROPERTIES PREFIX "")

foreach(call io ptrace)
	add_library(fail-${call} MODULE ${CMAKE_CURRENT_LIST_DIR}/fail_${call}.c)
	set_target_properties(fail-${call} PROPERTIES PREFIX "")
	target_link_libraries(fail-${call} PRIVATE dl)
endforeach()

set_target_properties(pool-client kept-workload collectives with-pid fail-io fail-ptrace fault-points lost-answer PROPERTIES
	RUNTIME_OUTPUT_DIRECTORY ${CCR_OUT}/test-tools LIBRARY_OUTPUT_DIRECTORY ${CCR_OUT}/test-tools)

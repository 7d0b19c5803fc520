# SPDX-License-Identifier: MIT
# The interceptor on the software driver: programs linked to it, started with LD_PRELOAD.
if(TARGET cuda_intercept AND TARGET softcuda)
	set(here ${CMAKE_CURRENT_LIST_DIR})
	set(preload $<TARGET_FILE:cuda_intercept>)
	add_library(intercept_test STATIC ${here}/intercept_test.c ${here}/intercept_pool.c)
	target_link_libraries(intercept_test PUBLIC softcuda ccr_common)

	function(intercept_test name)
		ccr_test(intercept_${name} SOURCES ${here}/intercept_${name}.c ${ARGN} LIBS intercept_test)
		set_tests_properties(intercept_${name} PROPERTIES ENVIRONMENT "LD_PRELOAD=${preload}")
	endfunction()

	foreach(area cycle memory vmm limits stress)
		intercept_test(${area})
	endforeach()

	add_library(intercept_second SHARED ${here}/intercept_second.c)
	target_link_libraries(intercept_second PRIVATE softcuda dl)
	intercept_test(lookup)
	target_link_libraries(test_intercept_lookup PRIVATE intercept_second)
endif()

if(TARGET ccr_gate)
	ccr_test(intercept_gate SOURCES ${CMAKE_CURRENT_LIST_DIR}/intercept_gate.c $<TARGET_OBJECTS:ccr_gate>)
	add_test(NAME intercept_gate_cost COMMAND ccr-gate-bench --limit 20)
	set_tests_properties(intercept_gate_cost PROPERTIES RUN_SERIAL ON)
endif()

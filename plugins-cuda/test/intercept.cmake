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

	foreach(area cycle)
		intercept_test(${area})
	endforeach()
endif()

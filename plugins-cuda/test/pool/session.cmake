# SPDX-License-Identifier: MIT
# A session of the pool on the software driver, and loads.
add_library(session_test STATIC ${CMAKE_CURRENT_LIST_DIR}/session_test.c)
target_link_libraries(session_test PUBLIC ccr_pool)
foreach(subject session undo load receive)
	ccr_test(pool_${subject} ${CMAKE_CURRENT_LIST_DIR}/${subject}.c LIBS session_test
		 ENV CRIU_CUDA_DRIVER=${CCR_OUT}/lib/softcuda/libcuda.so.1
		     SOFTCUDA_DIR=${CMAKE_CURRENT_BINARY_DIR}/pool-${subject})
	if(TARGET softcuda)
		add_dependencies(test_pool_${subject} softcuda)
	endif()
endforeach()
target_link_options(test_pool_load PRIVATE LINKER:--wrap=held_export)

# SPDX-License-Identifier: MIT
# workload-pattern: its arithmetic, its kernels' PTX, and its line protocol on the software driver.
set(workload_dir ${PROJECT_SOURCE_DIR}/workloads)
ccr_test(workload_pattern SOURCES ${CMAKE_CURRENT_LIST_DIR}/pattern.c ${workload_dir}/pattern.c)

find_program(PTXAS ptxas HINTS $ENV{CUDA_HOME}/bin $ENV{CUDA_PATH}/bin /usr/local/cuda/bin
	     DOC "PTX assembler, to check the kernels' text only")
ccr_test(workload_ptx SOURCES ${CMAKE_CURRENT_LIST_DIR}/../ptx.c ${workload_dir}/kernels_ptx.c ARGS ${PTXAS})
target_compile_definitions(test_workload_ptx PRIVATE PTX=workload_ptx KERNELS=CCR_KERNELS)
ccr_test(workload_ranks_ptx SOURCES ${CMAKE_CURRENT_LIST_DIR}/../ptx.c ${workload_dir}/ranks/kernel_ptx.c
	 ARGS ${PTXAS})
target_compile_definitions(test_workload_ranks_ptx PRIVATE PTX=ranks_ptx KERNELS=CCR_RANK_KERNELS)
ccr_test(transfer_ptx SOURCES ${CMAKE_CURRENT_LIST_DIR}/../ptx.c
	 ${PROJECT_SOURCE_DIR}/transfer/engine/scan_ptx.c ARGS ${PTXAS})
target_compile_definitions(test_transfer_ptx PRIVATE PTX=transfer_scan_ptx KERNELS=CCR_SCAN_KERNELS)

if(TARGET softcuda)
	add_library(workload_test STATIC ${CMAKE_CURRENT_LIST_DIR}/workload_test.c)
	target_link_libraries(workload_test PUBLIC softcuda_test)
	foreach(area protocol processes socket)
		ccr_test(workload_${area} SOURCES ${CMAKE_CURRENT_LIST_DIR}/${area}.c LIBS workload_test
			 ARGS $<TARGET_FILE:workload-pattern>
			 ENV CRIU_CUDA_DRIVER=${CCR_OUT}/lib/softcuda/libcuda.so.1)
		add_dependencies(test_workload_${area} workload-pattern)
	endforeach()
	ccr_test(workload_ranks SOURCES ${CMAKE_CURRENT_LIST_DIR}/ranks.c LIBS workload_test
		 ARGS $<TARGET_FILE:workload-ranks>
		 ENV CRIU_CUDA_DRIVER=${CCR_OUT}/lib/softcuda/libcuda.so.1)
	add_dependencies(test_workload_ranks workload-ranks)
endif()

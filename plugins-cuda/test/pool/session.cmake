# SPDX-License-Identifier: MIT
# A session of the pool on the software driver.
ccr_test(pool_session ${CMAKE_CURRENT_LIST_DIR}/session.c LIBS ccr_pool
	 ENV CRIU_CUDA_DRIVER=${CCR_OUT}/lib/softcuda/libcuda.so.1 SOFTCUDA_DIR=${CMAKE_CURRENT_BINARY_DIR}/pool-session)
if(TARGET softcuda)
	add_dependencies(test_pool_session softcuda)
endif()

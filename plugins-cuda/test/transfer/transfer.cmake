# SPDX-License-Identifier: MIT
# The transfer engine on the software driver.
set(transfer_env CRIU_CUDA_DRIVER=${CCR_OUT}/lib/softcuda/libcuda.so.1)
add_library(transfer_test STATIC ${CMAKE_CURRENT_LIST_DIR}/transfer_test.c)
target_link_libraries(transfer_test PUBLIC ccr_transfer image_test)
if(TARGET softcuda)
	add_dependencies(transfer_test softcuda)
endif()
foreach(area roundtrip errors limits scan staging reuse)
	ccr_test(transfer_${area} SOURCES ${CMAKE_CURRENT_LIST_DIR}/${area}.c LIBS transfer_test ENV ${transfer_env})
endforeach()

ccr_test(transfer_library SOURCES ${CMAKE_CURRENT_LIST_DIR}/library.c LIBS image_test ENV ${transfer_env}
	 ARGS $<TARGET_FILE:cuda_transfer>)
add_dependencies(test_transfer_library cuda_transfer)
if(TARGET softcuda)
	add_dependencies(test_transfer_library softcuda)
endif()
if(NOT CCR_SANITIZE)
	add_test(NAME transfer_exports COMMAND ${CMAKE_COMMAND} -DNM=${CMAKE_NM}
		-DFILE=$<TARGET_FILE:cuda_transfer> "-DALLOWED=cuda_parallel_.*" "-DUNDEFINED="
		-P ${PROJECT_SOURCE_DIR}/cmake/check_exports.cmake)
endif()

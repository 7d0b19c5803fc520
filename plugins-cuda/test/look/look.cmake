# SPDX-License-Identifier: MIT
# The look before a dump: every kind, in a directory that looks like /proc; and its time limit.
add_library(look_test_nvml SHARED ${CMAKE_CURRENT_LIST_DIR}/nvml.c)
set_target_properties(look_test_nvml PROPERTIES OUTPUT_NAME nvidia-ml SUFFIX .so.1 C_VISIBILITY_PRESET default
	LIBRARY_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/look-driver)
add_library(look_test STATIC ${CMAKE_CURRENT_LIST_DIR}/look_test.c)
target_link_libraries(look_test PUBLIC ccr_look ccr_common)
foreach(area state devices sharing room limits images)
	ccr_test(look_${area} SOURCES ${CMAKE_CURRENT_LIST_DIR}/${area}.c LIBS look_test
		ARGS ${CMAKE_CURRENT_BINARY_DIR}/look-driver/libcuda.so.1)
	add_dependencies(test_look_${area} look_test_nvml)
endforeach()
ccr_test(look_time SOURCES ${CMAKE_CURRENT_LIST_DIR}/time.c LIBS look_test)

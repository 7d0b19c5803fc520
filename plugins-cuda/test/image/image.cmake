# SPDX-License-Identifier: MIT
# GPU images: format, damage, checksums.
add_library(image_test STATIC ${CMAKE_CURRENT_LIST_DIR}/image_test.c)
target_link_libraries(image_test PUBLIC ccr_image ccr_common)
foreach(area checksum roundtrip damage driver pages index)
	ccr_test(image_${area} SOURCES ${CMAKE_CURRENT_LIST_DIR}/${area}.c LIBS image_test)
endforeach()
ccr_test(image_bounds SOURCES ${CMAKE_CURRENT_LIST_DIR}/bounds.c LIBS image_test)
# Packs messages that the writer never creates.
target_include_directories(test_image_bounds PRIVATE $<TARGET_PROPERTY:ccr_image,INCLUDE_DIRECTORIES>)
ccr_test(image_io_errors SOURCES ${CMAKE_CURRENT_LIST_DIR}/io_errors.c LIBS image_test)
target_link_options(test_image_io_errors PRIVATE
	-Wl,--wrap=close,--wrap=fsync,--wrap=ftruncate,--wrap=renameat)
# Not shipped.
set(fixture ${PROJECT_SOURCE_DIR}/../test/fixtures/gpu-image)
if(EXISTS ${fixture})
	ccr_test(image_fixture SOURCES ${CMAKE_CURRENT_LIST_DIR}/fixture.c LIBS image_test
		 ARGS ${fixture} ${fixture}-protocol-2)
endif()

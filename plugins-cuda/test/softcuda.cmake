# SPDX-License-Identifier: MIT
# The software CUDA driver's contract, area by area.
if(TARGET softcuda)
	add_library(softcuda_test STATIC softcuda_test.c ../common/cuda_error.c)
	target_link_libraries(softcuda_test PUBLIC softcuda)
	foreach(area api memory vmm streams modules checkpoint)
		ccr_test(softcuda_${area} SOURCES softcuda_${area}.c LIBS softcuda_test)
	endforeach()
endif()

# SPDX-License-Identifier: MIT
# The contract of the software CUDA driver, and a comparison of our CUDA declarations with cuda.h.
if(TARGET softcuda)
	set(here ${CMAKE_CURRENT_LIST_DIR})
	add_library(softcuda_test STATIC ${here}/softcuda_test.c ${PROJECT_SOURCE_DIR}/common/driver/cuda_error.c)
	target_link_libraries(softcuda_test PUBLIC softcuda)
	foreach(area api memory vmm streams modules checkpoint lock restore storage inject ipc criu)
		ccr_test(softcuda_${area} SOURCES ${here}/${area}.c LIBS softcuda_test)
	endforeach()

	find_path(CUDA_INCLUDE cuda.h
		HINTS $ENV{CUDA_HOME}/include $ENV{CUDA_PATH}/include /usr/local/cuda/include
		DOC "Directory of cuda.h, for the ABI check only")
	ccr_test(softcuda_abi SOURCES ${here}/abi.c ${here}/abi_cuda.c)
	if(CUDA_INCLUDE)
		set_source_files_properties(${here}/abi_cuda.c PROPERTIES
			COMPILE_DEFINITIONS HAVE_CUDA_H INCLUDE_DIRECTORIES ${CUDA_INCLUDE})
	endif()
	# The headers of scripts/cuda-calls.mjs, of which the later ones have custom storage.
	file(GLOB headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/../tmp/cuda-headers/13.*/cuda.h)
	foreach(header ${headers})
		get_filename_component(dir ${header} DIRECTORY)
		get_filename_component(version ${dir} NAME)
		add_library(softcuda_abi_cuda_${version} STATIC ${here}/abi_cuda.c)
		target_compile_definitions(softcuda_abi_cuda_${version} PRIVATE HAVE_CUDA_H)
		target_include_directories(softcuda_abi_cuda_${version} PRIVATE ${dir})
		ccr_test(softcuda_abi_${version} SOURCES ${here}/abi.c LIBS softcuda_abi_cuda_${version})
	endforeach()
endif()

# SPDX-License-Identifier: MIT
# The interceptor on the software driver. The programs are linked to the driver and started with LD_PRELOAD.
if(TARGET cuda_intercept AND TARGET softcuda)
	set(here ${CMAKE_CURRENT_LIST_DIR})
	set(preload $<TARGET_FILE:cuda_intercept>)
	# A sanitizer's runtime must be the first library.
	if(CCR_SANITIZE MATCHES "address|thread")
		string(REGEX REPLACE "^.*(address|thread).*$" "\\1" runtime "${CCR_SANITIZE}")
		string(SUBSTRING ${runtime} 0 1 runtime)
		execute_process(COMMAND ${CMAKE_C_COMPILER} -print-file-name=lib${runtime}san.so
			OUTPUT_VARIABLE runtime OUTPUT_STRIP_TRAILING_WHITESPACE)
		set(preload ${runtime}:${preload})
	endif()
	add_library(intercept_test STATIC ${here}/intercept_test.c ${here}/pool.c ${here}/pool_sharing.c)
	target_link_libraries(intercept_test PUBLIC softcuda ccr_common)

	function(intercept_test name)
		ccr_test(intercept_${name} SOURCES ${ARGN} LIBS intercept_test)
		set_tests_properties(intercept_${name} PROPERTIES ENVIRONMENT "LD_PRELOAD=${preload}")
	endfunction()

	foreach(area cycle memory vmm share sharing capture limits process stress group)
		intercept_test(${area} ${here}/${area}.c)
	endforeach()
	intercept_test(ipc ${here}/ipc.c ${here}/ipc_other.c ${here}/other_process.c)
	foreach(area event event_life)
		intercept_test(${area} ${here}/${area}.c ${here}/event_other.c ${here}/other_process.c)
	endforeach()
	intercept_test(off ${here}/copy/off.c ${here}/copy/copy_test.c)
	intercept_test(copy ${here}/copy/copy.c ${here}/copy/copy_test.c)
	foreach(area order failures)
		intercept_test(copy_${area} ${here}/copy/${area}.c ${here}/copy/copy_test.c)
	endforeach()
	# The same when all memory is the driver's: an evict finds no memory, but ends the threads.
	add_test(NAME intercept_copy_only COMMAND test_intercept_copy_order)
	set_tests_properties(intercept_copy_only PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 600
		ENVIRONMENT "LD_PRELOAD=${preload};CRIU_CUDA_INTERCEPT=memcpy")
	# The longest ones first, so that they do not run alone at the end.
	set_tests_properties(intercept_copy_failures intercept_stress intercept_limits PROPERTIES COST 100)
	set_tests_properties(intercept_copy intercept_copy_order intercept_copy_only intercept_cycle PROPERTIES COST 50)

	add_library(intercept_second SHARED ${here}/second.c)
	target_link_libraries(intercept_second PRIVATE softcuda dl)
	intercept_test(lookup ${here}/lookup.c)
	target_link_libraries(test_intercept_lookup PRIVATE intercept_second)

	# Opened by path. Its name keeps other programs from using it as a driver.
	add_library(intercept_mock MODULE ${here}/mock.c)
	ccr_test(intercept_names SOURCES ${here}/names.c LIBS ccr_common
		ARGS $<TARGET_FILE:intercept_mock> ENV "LD_PRELOAD=${preload}")

	add_library(intercept_versions_driver MODULE ${here}/versions_driver.c)
	ccr_test(intercept_versions SOURCES ${here}/versions.c ARGS $<TARGET_FILE:intercept_versions_driver>
		ENV "LD_PRELOAD=${preload};CRIU_CUDA_INTERCEPT_DEBUG=1")

	if(NOT CCR_SANITIZE)
		# Memory of threads: more than a thread's usual stack, and more than we ever make room for.
		foreach(mib 3 80)
			ccr_test(intercept_tls_${mib} SOURCES ${here}/tls.c LIBS ccr_common
				ARGS $<TARGET_FILE:intercept_mock> ENV "LD_PRELOAD=${preload}")
			target_compile_definitions(test_intercept_tls_${mib} PRIVATE TLS_MIB=${mib})
		endforeach()
		add_test(NAME intercept_exports COMMAND ${CMAKE_COMMAND} -DNM=${CMAKE_NM} -DFILE=$<TARGET_FILE:cuda_intercept>
			"-DALLOWED=cu[A-Z][A-Za-z0-9_]*|dlsym|dlvsym" "-DUNDEFINED=__cxa_finalize|_r_debug|_dl_debug_addr"
			-P ${PROJECT_SOURCE_DIR}/cmake/check_exports.cmake)
		add_test(NAME intercept_elf COMMAND ${CMAKE_COMMAND} -DNM=${CMAKE_NM}
			-DREADELF=${CMAKE_READELF} -DFILE=$<TARGET_FILE:cuda_intercept> -DSOURCES=${PROJECT_SOURCE_DIR}/intercept
			"-DOBJECTS=$<JOIN:$<TARGET_OBJECTS:ccr_gate>;$<TARGET_OBJECTS:ccr_intercept>,$<COMMA>>"
			-P ${PROJECT_SOURCE_DIR}/cmake/check_intercept.cmake)
	endif()
	if(NOT CCR_SANITIZE AND CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
		# Programs of other systems, without this machine's startup files.
		add_executable(foreign_glibc ${here}/foreign/old_glibc.c)
		target_compile_options(foreign_glibc PRIVATE -fno-stack-protector)
		target_link_options(foreign_glibc PRIVATE -nostartfiles
			-Wl,--push-state,--no-as-needed,-l:libpthread.so.0,-l:libdl.so.2,--pop-state)
		add_executable(foreign_musl ${here}/foreign/musl.c)
		target_compile_options(foreign_musl PRIVATE -fno-stack-protector -fno-builtin)
		target_link_options(foreign_musl PRIVATE -nostdlib -nostartfiles
			-Wl,-dynamic-linker,/lib/ld-musl-x86_64.so.1)
		add_library(foreign_musl_libc SHARED ${here}/foreign/musl_libc.c)
		target_compile_options(foreign_musl_libc PRIVATE -fno-builtin)
		target_link_options(foreign_musl_libc PRIVATE -nostdlib)
		set_target_properties(foreign_musl_libc PROPERTIES NO_SONAME ON)
		target_link_options(foreign_musl_libc PRIVATE -Wl,-soname,libc.so)
		target_link_libraries(foreign_musl PRIVATE foreign_musl_libc)
		set(old_glibc ${PROJECT_SOURCE_DIR}/../tmp/old-glibc)
		set(run sh ${here}/foreign/run.sh)
		add_test(NAME intercept_host_libc COMMAND ${run} host "" $<TARGET_FILE:cuda_intercept>
			$<TARGET_FILE:foreign_glibc> $<TARGET_FILE:intercept_mock>)
		add_test(NAME intercept_old_glibc COMMAND ${run} glibc ${old_glibc} $<TARGET_FILE:cuda_intercept>
			$<TARGET_FILE:foreign_glibc> $<TARGET_FILE:intercept_mock>)
		add_test(NAME intercept_musl COMMAND ${run} musl /lib/ld-musl-x86_64.so.1 $<TARGET_FILE:cuda_intercept>
			$<TARGET_FILE:foreign_musl>)
		set_tests_properties(intercept_host_libc intercept_old_glibc intercept_musl PROPERTIES
			SKIP_RETURN_CODE 77 TIMEOUT 60)
	endif()
	find_path(CUDA_INCLUDE cuda.h
		HINTS $ENV{CUDA_HOME}/include $ENV{CUDA_PATH}/include /usr/local/cuda/include
		DOC "Directory of cuda.h, for the ABI check only")
	if(CUDA_INCLUDE)
		add_test(NAME intercept_hooks COMMAND ${CMAKE_COMMAND} -DCC=${CMAKE_C_COMPILER}
			-DINCLUDE=${CUDA_INCLUDE} -DLIST=${PROJECT_SOURCE_DIR}/intercept/gate/hook_list.h
			-P ${PROJECT_SOURCE_DIR}/cmake/check_hooks.cmake)
	endif()
endif()

if(TARGET ccr_intercept)
	ccr_test(intercept_host_register SOURCES ${CMAKE_CURRENT_LIST_DIR}/host_register.c
		${PROJECT_SOURCE_DIR}/intercept/calls/host.c)
	ccr_test(intercept_node SOURCES ${CMAKE_CURRENT_LIST_DIR}/node.c
		${PROJECT_SOURCE_DIR}/intercept/copy/node.c)
endif()

if(TARGET ccr_intercept)
	foreach(part thread pass others holder keeper fetch)
		list(APPEND keeper_sources ${PROJECT_SOURCE_DIR}/intercept/keeper/${part}.c)
	endforeach()
	set_source_files_properties(${keeper_sources} PROPERTIES
		COMPILE_OPTIONS "-fno-sanitize=all;-fno-builtin;-fno-stack-protector")
	foreach(area keeper fetch)
		ccr_test(intercept_${area} SOURCES ${CMAKE_CURRENT_LIST_DIR}/${area}.c ${keeper_sources})
	endforeach()
endif()

if(TARGET ccr_gate)
	ccr_test(intercept_gate SOURCES ${CMAKE_CURRENT_LIST_DIR}/gate.c $<TARGET_OBJECTS:ccr_gate>)
	if(NOT CCR_SANITIZE)
		add_test(NAME intercept_gate_cost COMMAND ccr-gate-bench --limit 2.5)
		set_tests_properties(intercept_gate_cost PROPERTIES RUN_SERIAL ON)
	endif()
endif()

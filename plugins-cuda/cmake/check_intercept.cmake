# SPDX-License-Identifier: MIT
# cmake -DNM=nm -DREADELF=readelf -DFILE=lib.so -DOBJECTS=a.o,b.o -DSOURCES=dir -P check_intercept.cmake
# Checks the interceptor, which is loaded into every process of a job: it must not run code when it
# is loaded, allocate thread-local data, or call the dlsym that it replaces.
string(REPLACE "," ";" OBJECTS "${OBJECTS}")
foreach(object ${OBJECTS})
	execute_process(COMMAND ${READELF} -SW ${object} OUTPUT_VARIABLE sections
			COMMAND_ERROR_IS_FATAL ANY)
	if(sections MATCHES "(\\.(init_array|ctors|preinit_array)[^ ]*)")
		message(SEND_ERROR "${object} has a constructor (${CMAKE_MATCH_1})")
	endif()
endforeach()

execute_process(COMMAND ${NM} -D --undefined-only ${FILE} OUTPUT_VARIABLE needed
		COMMAND_ERROR_IS_FATAL ANY)
if(needed MATCHES "(__tls_get_addr|dlsym|dlvsym|__cxa_atexit|exit|abort|__assert_fail)@")
	message(SEND_ERROR "${FILE} needs ${CMAKE_MATCH_1}")
endif()
execute_process(COMMAND ${NM} -D --defined-only --format=posix ${FILE} OUTPUT_VARIABLE defined
		COMMAND_ERROR_IS_FATAL ANY)
foreach(symbol dlsym dlvsym cuInit cuMemAlloc_v2 cuGetProcAddress_v2 cuLaunchKernel_ptsz)
	if(NOT defined MATCHES "(^|\n)${symbol} T")
		message(SEND_ERROR "${FILE} does not export ${symbol}")
	endif()
endforeach()

file(GLOB_RECURSE sources ${SOURCES}/*.c)
foreach(source ${sources})
	file(STRINGS ${source} lines REGEX "(^|[^_A-Za-z0-9])dlv?sym[ \t]*\\(")
	if(lines)
		message(SEND_ERROR "${source} calls dlsym by name: ${lines}")
	endif()
	file(STRINGS ${source} lines REGEX "__attribute__[(][(]constructor|(^|[^_A-Za-z0-9])(printf|puts|exit|abort)[ \t]*\\(")
	if(lines AND NOT source MATCHES "/bench\\.c$")
		message(SEND_ERROR "${source} must not do this in the process of an application: ${lines}")
	endif()
endforeach()

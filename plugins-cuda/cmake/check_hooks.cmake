# SPDX-License-Identifier: MIT
# cmake -DCC=cc -DINCLUDE=dir -DLIST=hook_list.h -P check_hooks.cmake
# Fails unless every function that the header in INCLUDE declares, under every name that its macros
# can give it, has a stub, and the stub passes the stack if the arguments do not fit the registers.
file(STRINGS ${LIST} lines REGEX "H\\(cu")
string(REGEX MATCHALL "H\\(cu[A-Za-z0-9_]*, [A-Z]*\\)" hooks "${lines}")
foreach(hook ${hooks})
	string(REGEX MATCH "H\\((cu[A-Za-z0-9_]*), ([A-Z]*)\\)" unused "${hook}")
	if(DEFINED kind_${CMAKE_MATCH_1})
		message(SEND_ERROR "${CMAKE_MATCH_1} is listed twice")
	endif()
	set(kind_${CMAKE_MATCH_1} ${CMAKE_MATCH_2})
endforeach()

set(nr 0)
foreach(mode " " -D__CUDA_API_VERSION_INTERNAL -DCUDA_API_PER_THREAD_DEFAULT_STREAM
	"-D__CUDA_API_VERSION_INTERNAL;-DCUDA_API_PER_THREAD_DEFAULT_STREAM")
	string(STRIP "${mode}" mode)
	foreach(header cuda.h cudaProfiler.h)
		execute_process(COMMAND ${CC} -E -P ${mode} -I${INCLUDE} ${INCLUDE}/${header}
			OUTPUT_VARIABLE text COMMAND_ERROR_IS_FATAL ANY)
		# Semicolons end declarations and also separate the items of a CMake list. Brackets would join items.
		string(REGEX REPLACE "[][]" "" text "${text}")
		foreach(item ${text})
			string(REGEX REPLACE "[ \n\t]+" " " item "${item}")
			if(NOT item MATCHES "^ ?(extern )?CUresult (__attribute__[^ ]* )?(cu[A-Z][A-Za-z0-9_]*) ?\\((.*)\\)$")
				continue()
			endif()
			set(name ${CMAKE_MATCH_3})
			set(arguments "${CMAKE_MATCH_4}")
			math(EXPR nr "${nr} + 1")
			if(NOT DEFINED kind_${name})
				message(SEND_ERROR "${header}: ${name} has no stub")
				continue()
			endif()
			string(REGEX MATCHALL "," commas "${arguments}")
			list(LENGTH commas commas)
			# Structures that are passed by value also use the stack.
			if((commas GREATER 5 OR arguments MATCHES "CUipc[A-Za-z]*Handle(_v1)? [a-z]") AND
			   NOT kind_${name} STREQUAL STACK)
				message(SEND_ERROR "${name} has arguments on the stack, but hook_list.h says ${kind_${name}}")
			endif()
		endforeach()
	endforeach()
endforeach()
if(nr LESS 1000)
	message(FATAL_ERROR "found only ${nr} declarations in ${INCLUDE}; this check needs at least 1000")
endif()
message(STATUS "${nr} declarations checked")

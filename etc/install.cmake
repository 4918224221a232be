# install.cmake: what depends on the place of installation: the units, which name the program and the
# configuration by their paths, and files below etc. `cmake --install` runs it, and so does CPack:
# ETC is this folder, MADE one in the build directory, CMAKE_INSTALL_PREFIX is decided by then.

# /usr keeps its configuration in /etc, any other prefix within itself (GNUInstallDirs does the same).
if(CMAKE_INSTALL_PREFIX STREQUAL "/usr")
    set(sysconf /etc)
else()
    set(sysconf ${CMAKE_INSTALL_PREFIX}/etc)
endif()

function(install_file from to name)
    get_filename_component(folder ${from} DIRECTORY)
    if(NOT folder STREQUAL MADE)
        configure_file(${from} ${MADE}/${name} COPYONLY)
    endif()
    file(INSTALL ${MADE}/${name} DESTINATION ${to}
        PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
endfunction()

function(replace_in text_r from to)
    set(text "${${text_r}}")
    string(FIND "${text}" "${from}" at)
    if(at EQUAL -1)
        message(FATAL_ERROR "etc/install.cmake: there is no '${from}' in the unit any more")
    endif()
    string(REPLACE "${from}" "${to}" text "${text}")
    set(${text_r} "${text}" PARENT_SCOPE)
endfunction()

# The instance NAME has its own configuration, /etc/colmeia/NAME.ini, and directories of its own.
function(make_template text_r)
    set(unit "${${text_r}}")
    replace_in(unit "API\n" "API (%i)\n")
    replace_in(unit "/bin/colmeia\n" "/bin/colmeia --config /etc/colmeia/%i.ini\n")
    replace_in(unit "/bin/colmeia ctl reload" "/bin/colmeia ctl --config /etc/colmeia/%i.ini reload")
    foreach(directory WorkingDirectory=%S/ RuntimeDirectory= StateDirectory= LogsDirectory=)
        replace_in(unit "${directory}colmeia\n" "${directory}colmeia@%i\n")
    endforeach()
    set(${text_r} "${unit}" PARENT_SCOPE)
endfunction()

# systemd looks into lib of /usr and /usr/local alike.
set(units ${CMAKE_INSTALL_PREFIX}/lib/systemd/system)
file(READ ${ETC}/colmeia.service unit)
replace_in(unit "/usr/bin/" "${CMAKE_INSTALL_PREFIX}/bin/")
file(WRITE ${MADE}/colmeia.service "${unit}")
install_file(${MADE}/colmeia.service ${units} colmeia.service)
make_template(unit)
file(WRITE ${MADE}/colmeia@.service "${unit}")
install_file(${MADE}/colmeia@.service ${units} colmeia@.service)
install_file(${ETC}/colmeia.logrotate ${sysconf}/logrotate.d colmeia)
# only the one that colmeia reads; elsewhere the sample beside README.md is there to be copied
if(sysconf STREQUAL "/etc")
    install_file(${ETC}/colmeia.ini /etc/colmeia colmeia.ini)
endif()

# package.cmake: the Debian package, made by CPack: `cmake --workflow --preset deb`. What is in it is
# what is installed; etc/debian has what the package manager needs besides.
set(CPACK_VERBATIM_VARIABLES ON)
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME colmeia)
set(CPACK_PACKAGE_VENDOR colmeia)
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "users API: accounts, password login, tokens")
set(CPACK_PACKAGE_DESCRIPTION
"An HTTP server for user accounts over SQLite: a master that owns the sockets
and workers that never block, which answers as the FastAPI application of the
course \"FastAPI do Zero\" does. Configuration and program are replaced without
closing a connection, by an upgrade of this package, too.")
set(CPACK_SET_DESTDIR ON)
set(CPACK_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_SOURCE_DIR}/etc/debian/documents.cmake)
set(CPACK_COLMEIA_ETC ${CMAKE_SOURCE_DIR}/etc)

# Maintainer and version stand in the changelog's first entry, whose version is the project's.
file(STRINGS etc/debian/changelog entry REGEX "^colmeia |^ -- ")
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS etc/debian/changelog)
list(GET entry 0 title)
list(GET entry 1 signature)
string(REGEX MATCH "\\((.*)\\)" _ "${title}")
set(CPACK_PACKAGE_VERSION ${CMAKE_MATCH_1})
if(NOT CPACK_PACKAGE_VERSION STREQUAL PROJECT_VERSION)
    message(FATAL_ERROR "etc/debian/changelog says ${CPACK_PACKAGE_VERSION}, the project is ${PROJECT_VERSION}")
endif()
string(REGEX MATCH "^ -- (.*>)  " _ "${signature}")
set(CPACK_DEBIAN_PACKAGE_MAINTAINER ${CMAKE_MATCH_1})

set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION web)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
# What the maintainer scripts call; deb-systemd-helper and the like are in init-system-helpers, which
# every Debian has, and are used only where they are.
set(CPACK_DEBIAN_PACKAGE_DEPENDS
    "systemd | systemd-standalone-sysusers, systemd | systemd-standalone-tmpfiles")
# The orders API, if it is configured, loads libcurl with the first order.
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "libcurl4 | libcurl4t64, ca-certificates")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "logrotate, nginx | haproxy")
foreach(file conffiles postinst prerm postrm)
    list(APPEND CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${CMAKE_SOURCE_DIR}/etc/debian/${file})
endforeach()
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
include(CPack)

# documents.cmake: CPack runs it over what was installed, before it packs: the documents that every
# Debian package has, and manual pages compressed, as Debian wants them.
set(usr ${CPACK_TEMPORARY_INSTALL_DIRECTORY}/usr)
set(doc ${usr}/share/doc/${CPACK_PACKAGE_NAME})
file(COPY ${CPACK_COLMEIA_ETC}/debian/copyright ${CPACK_COLMEIA_ETC}/debian/changelog
    DESTINATION ${doc} FILE_PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
file(MAKE_DIRECTORY ${usr}/share/lintian/overrides)
configure_file(${CPACK_COLMEIA_ETC}/debian/overrides ${usr}/share/lintian/overrides/${CPACK_PACKAGE_NAME} COPYONLY)
file(GLOB_RECURSE pages ${usr}/share/man/*.[1-8])
execute_process(COMMAND gzip --best --no-name ${doc}/changelog ${pages} COMMAND_ERROR_IS_FATAL ANY)

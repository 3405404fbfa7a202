# Runs at installation, with the packaging_* variables of CMakeLists.txt.

foreach(directory IN ITEMS bindir sbindir sysconfdir docdir)
  cmake_path(ABSOLUTE_PATH packaging_${directory} BASE_DIRECTORY "${CMAKE_INSTALL_PREFIX}" OUTPUT_VARIABLE ${directory})
endforeach()
if(CMAKE_INSTALL_PREFIX MATCHES "^/usr/?$")
  set(sysconfdir "/etc")
endif()

foreach(file IN ITEMS sidecored.service 50-sidecore-blk.json)
  configure_file("${packaging_source}/${file}.in" "${packaging_binary}/${file}" @ONLY)
endforeach()
file(INSTALL "${packaging_binary}/sidecored.service" DESTINATION "${CMAKE_INSTALL_PREFIX}/lib/systemd/system")
file(INSTALL "${packaging_binary}/50-sidecore-blk.json"
     DESTINATION "${CMAKE_INSTALL_PREFIX}/${packaging_datadir}/qemu/vhost-user")

# The configuration belongs to the host's owner: an installation never replaces one.
if(NOT EXISTS "$ENV{DESTDIR}${sysconfdir}/sidecore/sidecore.toml")
  file(INSTALL "${packaging_source}/sidecore.toml" DESTINATION "${sysconfdir}/sidecore")
endif()

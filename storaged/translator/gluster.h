/*
 * Gluster's headers. They are what a Debian package installs of its build, but not the config.h they were built with:
 * these are the macros they ask for, as Debian's build for 64-bit Linux has them. abi.c checks the outcome at load.
 */
#ifndef SLUICE_GLUSTER_H
#define SLUICE_GLUSTER_H

#define _GNU_SOURCE
#define GF_LINUX_HOST_OS 1
#define HAVE_ATOMIC_BUILTINS 1
#define HAVE_STRNLEN 1
#define SIZEOF_SHORT 2
#define SIZEOF_INT 4
#define SIZEOF_LONG 8
#define SIZEOF_LONG_LONG 8

/* The headers are not written for -Wextra. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wpedantic"
#include <glusterfs/call-stub.h>
#include <glusterfs/common-utils.h>
#include <glusterfs/defaults.h>
#include <glusterfs/logging.h>
#include <glusterfs/xlator.h>
#pragma GCC diagnostic pop

#endif

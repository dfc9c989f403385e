// Files without names, which Swift's view of the C library does not have: what is written into one goes with
// the process unless it is named.
#ifndef CMGLU_FILES_H
#define CMGLU_FILES_H

#include <stdbool.h>

// Opens one to write to, in the file system of `folder`; -1 where it has none, or is not known to name them
// later.
int cmglu_unnamed_file(const char *folder);
// Gives an unnamed file a path, at which nothing may be; errno tells of a failure.
bool cmglu_name_file(int descriptor, const char *path);

#endif

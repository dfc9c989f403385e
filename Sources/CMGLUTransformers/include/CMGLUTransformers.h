// The Python files of python/ as text: what transformers needs to load a model folder.
#ifndef CMGLU_TRANSFORMERS_H
#define CMGLU_TRANSFORMERS_H

#include <stddef.h>

typedef struct {
  const char *name;  // of the file, such as "modeling_mglu.py"
  const char *text;
  size_t size;  // in bytes
} cmglu_transformers_file;

// The file at `index` from 0 on; NULL after the last.
const cmglu_transformers_file *cmglu_transformers_file_at(int index);

#endif

// The Python files of python/ as text. A new file is an #embed and a line of the table.
#include "CMGLUTransformers.h"

static const char configuration_mglu[] = {
#embed "python/configuration_mglu.py"
};
static const char modeling_mglu[] = {
#embed "python/modeling_mglu.py"
};

#define FILE_NAMED(name) {#name ".py", name, sizeof name}
static const cmglu_transformers_file files[] = {
    FILE_NAMED(configuration_mglu), FILE_NAMED(modeling_mglu),
};

const cmglu_transformers_file *cmglu_transformers_file_at(int index) {
  const int count = sizeof files / sizeof *files;
  return index >= 0 && index < count ? &files[index] : NULL;
}

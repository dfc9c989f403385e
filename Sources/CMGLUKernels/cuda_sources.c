// The CUDA sources of cuda/ as text. A new file is an #embed and a line of the table; a test
// compares the table with the folder.
#include "cmglu_cuda.h"

static const char read_cu[] = {
#embed "cuda/read.cu" suffix(, 0)
};

#define SOURCE(name) {#name, name##_cu, sizeof name##_cu - 1}
static const cmglu_cuda_source sources[] = {
    SOURCE(read),
};

const cmglu_cuda_source *cmglu_cuda_source_at(int index) {
  const int count = sizeof sources / sizeof *sources;
  return index >= 0 && index < count ? &sources[index] : NULL;
}

// The CUDA sources of cuda/ as text. A new file is an #embed and a line of the table; a test
// compares the table with the folder.
#include "cmglu_cuda.h"

static const char attention_cu[] = {
#embed "cuda/attention.cu" suffix(, 0)
};
static const char attention_train_cu[] = {
#embed "cuda/attention_train.cu" suffix(, 0)
};
static const char decode_cu[] = {
#embed "cuda/decode.cu" suffix(, 0)
};
static const char eight_cu[] = {
#embed "cuda/eight.cu" suffix(, 0)
};
static const char exchange_cu[] = {
#embed "cuda/exchange.cu" suffix(, 0)
};
static const char flash_cu[] = {
#embed "cuda/flash.cu" suffix(, 0)
};
static const char pack_cu[] = {
#embed "cuda/pack.cu" suffix(, 0)
};
static const char plain_cu[] = {
#embed "cuda/plain.cu" suffix(, 0)
};
static const char read_cu[] = {
#embed "cuda/read.cu" suffix(, 0)
};
static const char ring_cu[] = {
#embed "cuda/ring.cu" suffix(, 0)
};
static const char tokens_cu[] = {
#embed "cuda/tokens.cu" suffix(, 0)
};
static const char training_cu[] = {
#embed "cuda/training.cu" suffix(, 0)
};
static const char training_units_cu[] = {
#embed "cuda/training_units.cu" suffix(, 0)
};

#define SOURCE(name) {#name, name##_cu, sizeof name##_cu - 1}
static const cmglu_cuda_source sources[] = {
    SOURCE(attention), SOURCE(attention_train), SOURCE(decode), SOURCE(eight),    SOURCE(exchange),
    SOURCE(flash),     SOURCE(pack),            SOURCE(plain),  SOURCE(read),     SOURCE(ring),
    SOURCE(tokens),    SOURCE(training),        SOURCE(training_units),
};

const cmglu_cuda_source *cmglu_cuda_source_at(int index) {
  const int count = sizeof sources / sizeof *sources;
  return index >= 0 && index < count ? &sources[index] : NULL;
}

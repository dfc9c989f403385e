// attention_store: keys and values of prompts' rows go to the cache, keys and queries rotated.
//
// Problem   For each row at position p: its queries are rotated where they are, its keys are rotated into
//           the cache, its values copied there.
// Layout    attention_step.cu: qkv and the cache are of one type.
// Variants  HEAD; ROTARY, the first elements of a head that are rotated (all, unless given); BITS and
//           BF16, the type.
// Launch    a block for each row, of 32...256 threads.

#ifndef HEAD
#define HEAD 64
#endif

#include "cmglu_numbers.h"

#include "attention_numbers.cu"
#include "attention_rotation.cu"
#include "attention_step.cu"

// Pairs that a thread treats together.
constexpr int TOGETHER = HALF % 8 == 0 && TURNS % 8 == 0 ? 8 : 1;

struct __align__(TOGETHER * sizeof(Element)) Elements {
  Element element[TOGETHER];
};
struct __align__(TOGETHER * 4) Factors {
  float factor[TOGETHER];
};

extern "C" __global__ void __launch_bounds__(256) attention_store(const __grid_constant__ Attention a) {
  wait_for_input();
  launch_dependents();
  const int row = a.firstRow + blockIdx.x, position = a.positions[row];
  const int *table = a.blockTables + (long long)a.slots[row] * a.blocksPerSequence;
  const int block = table[position / BLOCK];
  Element *own = a.qkv + (long long)row * a.width();
  for (int item = threadIdx.x; item < (a.heads + 2 * a.kvHeads) * (HALF / TOGETHER); item += blockDim.x) {
    const int head = item / (HALF / TOGETHER), i = item % (HALF / TOGETHER) * TOGETHER;
    const bool isQuery = head < a.heads, isValue = head >= a.heads + a.kvHeads;
    const bool turns = i < TURNS && !isValue;
    if (isQuery && !turns) continue;
    Element *from = own + head * HEAD;
    Elements low = *(const Elements *)(from + low_of(i)), high = *(const Elements *)(from + high_of(i));
    if (turns) {
      const Factors cosine = *(const Factors *)(a.cosine + (long long)position * TURNS + i);
      const Factors sine = *(const Factors *)(a.sine + (long long)position * TURNS + i);
#pragma unroll
      for (int n = 0; n < TOGETHER; n++) {
        float x = to_float(low.element[n]), y = to_float(high.element[n]);
        rotate(x, y, cosine.factor[n], sine.factor[n]);
        low.element[n] = to_element(x), high.element[n] = to_element(y);
      }
    }
    Element *to = from;
    if (!isQuery)
      to = (isValue ? a.values : a.keys) + a.at(block, (head - a.heads) % a.kvHeads) + position % BLOCK * HEAD;
    *(Elements *)(to + low_of(i)) = low, *(Elements *)(to + high_of(i)) = high;
  }
}

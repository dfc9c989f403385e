// attention_store: keys and values of prompts' rows go to the cache, keys and queries rotated.
//
// Problem   For each row at position p: its queries are rotated where they are, in the type of the cache, from
//           the beginning of the row on; its keys are rotated into the cache, its values go there.
// Layout    attention_step.cu.
// Variants  HEAD; ROTARY, the first elements of a head that are rotated (all, unless given); BITS and
//           BF16, the type of the cache, and ROW_BITS of qkv.
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

template <class Type> struct __align__(TOGETHER * sizeof(Type)) Several {
  Type of[TOGETHER];
};

extern "C" __global__ void __launch_bounds__(256) attention_store(const __grid_constant__ Attention a) {
  wait_for_input();
  launch_dependents();
  const int row = a.firstRow + blockIdx.x, position = a.positions[row];
  const int *table = a.blockTables + (long long)a.slots[row] * a.blocksPerSequence;
  const int block = table[position / BLOCK], items = (a.heads + 2 * a.kvHeads) * (HALF / TOGETHER);
  const Number *own = a.qkv + (long long)row * a.width();
  for (int base = 0; base < items; base += blockDim.x) {
    const int item = base + threadIdx.x;
    const int head = item / (HALF / TOGETHER), i = item % (HALF / TOGETHER) * TOGETHER;
    const bool isQuery = head < a.heads, isValue = head >= a.heads + a.kvHeads;
    const bool turns = i < TURNS && !isValue;
    // Queries that stay as they are need nothing.
    const bool has = item < items && (ROW_BITS != BITS || !isQuery || turns);
    Several<Element> low, high;
    if (has) {
      const Several<Number> x = *(const Several<Number> *)(own + head * HEAD + low_of(i));
      const Several<Number> y = *(const Several<Number> *)(own + head * HEAD + high_of(i));
      Several<float> cosine, sine;
      if (turns) {
        cosine = *(const Several<float> *)(a.cosine + (long long)position * TURNS + i);
        sine = *(const Several<float> *)(a.sine + (long long)position * TURNS + i);
      }
#pragma unroll
      for (int n = 0; n < TOGETHER; n++) {
        float left = to_float(x.of[n]), right = to_float(y.of[n]);
        if (turns) rotate(left, right, cosine.of[n], sine.of[n]);
        low.of[n] = to_element(left), high.of[n] = to_element(right);
      }
    }
    // Narrower queries are written over what all have read: those of this round and before.
    if (ROW_BITS != BITS) __syncthreads();
    if (has) {
      Element *to = isQuery ? (Element *)a.queries(row, head)
                            : (isValue ? a.values : a.keys) +
                                  a.at(block, (head - a.heads) % a.kvHeads) + position % BLOCK * HEAD;
      *(Several<Element> *)(to + low_of(i)) = low, *(Several<Element> *)(to + high_of(i)) = high;
    }
  }
}

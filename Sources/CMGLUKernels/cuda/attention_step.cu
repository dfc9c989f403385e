// attention_step: what all of attention's kernels take, and a decoding row's own key and value. A part of
// them, which include it after attention_numbers.cu and attention_rotation.cu.

// Mirrored by cmglu_cuda_attention in cmglu_cuda.h.
struct Attention {
  Number *qkv;                   // [rows][(heads + 2 kvHeads) HEAD]
  Element *keys, *values;        // [blocks][kvHeads][BLOCK][HEAD]
  Element *output;               // [rows][heads HEAD]
  const float *cosine, *sine;    // [positions][ROTARY / 2]
  const int *positions, *slots;  // [rows]
  const int *blockTables;        // [slots][blocksPerSequence]
  const int *tiles;              // [tiles][4]: first row, rows, slot, first position
  float *partial;                // [rows][heads][splits][HEAD + 2]
  u32 *counters;                 // [rows][heads / QUERIES], zero before and after
  int heads, kvHeads, blocksPerSequence, window;
  int firstRow;                  // of those of the launch
  int decodes;                   // whether these decode: their keys and values are not in the cache yet
  float scale;
  int rows;                      // of the launch
  // Of attention_decode_hopper.cu: warps of a team, and chunks of the longest item that a team has.
  int team, longest;

  __device__ __forceinline__ int width() const { return (heads + 2 * kvHeads) * HEAD; }
  __device__ __forceinline__ int lowest(int position) const {
    return window > position ? 0 : position + 1 - window;
  }
  // The rotated queries of a row of a prompt, as attention_store.cu leaves them: Elements from the row's
  // beginning on.
  __device__ __forceinline__ const Element *queries(int row, int head) const {
    return (const Element *)(qkv + (long long)row * width()) + head * HEAD;
  }
  // Where a key-value head's keys, or values, of a block of the cache begin.
  __device__ __forceinline__ long long at(int block, int kv) const {
    return ((long long)block * kvHeads + kv) * (BLOCK * HEAD);
  }
};

// Whether rows of the output are interleaved, as products of wgmma read them (fused_linear_input.cu).
#ifndef INTERLEAVED
#define INTERLEAVED 0
#endif

// Where an element of a row of the output lies.
__device__ __forceinline__ int place_of(int item) {
  return INTERLEAVED ? (item & ~31) | (item & 6) << 2 | (item >> 2 & 6) | (item & 1) : item;
}

// Leaves what a lane of mma.sync or wgmma has of 32 columns of a row of the output: two of each eight.
__device__ __forceinline__ void leave_columns(Element *row, const u32 (&pairs)[4], int lane) {
  if (INTERLEAVED)
    *(uint4 *)(row + lane % 4 * 8) = make_uint4(pairs[0], pairs[1], pairs[2], pairs[3]);
  else
#pragma unroll
    for (int i = 0; i < 4; i++) *(u32 *)(row + i * 8 + lane % 4 * 2) = pairs[i];
}

__device__ __forceinline__ void wait_for_input() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

__device__ __forceinline__ void launch_dependents() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
#endif
}

// Pair i of a head of a row, rotated for the position.
__device__ __forceinline__ float2 rotated_pair(
    const Attention &a, const Number *head, long long position, int i) {
  float low = to_float(head[low_of(i)]), high = to_float(head[high_of(i)]);
  if (i < TURNS) rotate(low, high, a.cosine[position * TURNS + i], a.sine[position * TURNS + i]);
  return make_float2(low, high);
}

// A decoding row's rotated key and its value go to the cache: of every block that reads them, the
// same bits, so that none waits for another.
__device__ __forceinline__ void store_own(
    const Attention &a, const Number *row, int kv, int position, int block, int thread, int threads) {
  for (int i = thread; i < HEAD; i += threads) {
    const bool isKey = i < HALF;
    const int pair = isKey ? i : i - HALF;
    const Number *head = row + (a.heads + (isKey ? 0 : a.kvHeads) + kv) * HEAD;
    const long long to = a.at(block, kv) + position % BLOCK * HEAD;
    if (isKey) {
      const float2 key = rotated_pair(a, head, position, pair);
      a.keys[to + low_of(pair)] = to_element(key.x), a.keys[to + high_of(pair)] = to_element(key.y);
    } else {
      a.values[to + low_of(pair)] = to_element(to_float(head[low_of(pair)]));
      a.values[to + high_of(pair)] = to_element(to_float(head[high_of(pair)]));
    }
  }
}

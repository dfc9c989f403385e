// decode_exchange: how the blocks of decode.cu hand results to one another, which its header
// explains. A part of decode.cu, which includes it: it takes its Decode, and u32 and u64.

// Where each result lies among the words.
struct Exchange {
  u32 *epoch;  // of the layer before the first; grows by their number
  u64 *afterOutput, *afterDown, *qkv, *found, *attended, *inner;
};

__device__ __forceinline__ Exchange exchanged(const Decode &d) {
  Exchange e;
  e.epoch = (u32 *)d.words;
  e.afterOutput = d.words + 2;
  e.afterDown = e.afterOutput + d.hidden;
  e.qkv = e.afterDown + d.hidden;
  e.attended = e.qkv + (d.heads + 2 * d.kvHeads) * HEAD;
  e.inner = e.attended + d.heads * HEAD;
  e.found = e.inner + d.intermediate;  // [heads / QUERIES][splits][QUERIES][HEAD + 2]
  return e;
}

__device__ __forceinline__ void publish(u64 *word, float value, u32 epoch) {
  asm volatile("st.relaxed.gpu.global.b64 [%0], %1;" ::"l"(word),
               "l"((u64)epoch << 32 | __float_as_uint(value))
               : "memory");
}

__device__ __forceinline__ u64 look(const u64 *word) {
  u64 value;
  asm volatile("ld.relaxed.gpu.global.b64 %0, [%1];" : "=l"(value) : "l"(word) : "memory");
  return value;
}

__device__ __forceinline__ bool is_current(u64 word, u32 epoch) { return (u32)(word >> 32) == epoch; }

__device__ __forceinline__ float await(const u64 *word, u32 epoch) {
  u64 value;
  do value = look(word);
  while (!is_current(value, epoch));
  return __uint_as_float((u32)value);
}

struct Chunk {
  u64 word[8];
};

__device__ __forceinline__ void look(const u64 *from, Chunk &chunk) {
#pragma unroll
  for (int i = 0; i < 8; i += 2)
    asm volatile("ld.relaxed.gpu.global.v2.b64 {%0, %1}, [%2];"
                 : "=l"(chunk.word[i]), "=l"(chunk.word[i + 1])
                 : "l"(from + i)
                 : "memory");
}

__device__ __forceinline__ bool is_current(const Chunk &chunk, u32 epoch) {
  bool is = true;
#pragma unroll
  for (int i = 0; i < 8; i++) is = is && is_current(chunk.word[i], epoch);
  return is;
}

// Eight words of each thread. A tile's first word is asked for by every second lane until it is
// there: if all of a block's threads did so for all they want, the L2 would serve little else.
__device__ __forceinline__ void await_chunk(
    const u64 *from, u32 epoch, int lane, float (&value)[8]) {
  while (!__all_sync(~0u, lane % 2 || is_current(look(from), epoch))) {
  }
  Chunk chunk;
  do {
    look(from, chunk);
  } while (!is_current(chunk, epoch));
#pragma unroll
  for (int i = 0; i < 8; i++) value[i] = __uint_as_float((u32)chunk.word[i]);
}

// decode_share: which part of every matrix and of the cache is a block's, and its copy into the
// ring. A part of decode.cu, which includes it: it takes its Decode and Layer, and decode_ring.cu.

// A block's part of attention: query heads and positions.
struct Part {
  int group, split;  // of query heads, of positions
  int kv;
  bool writes;       // the new row to the cache
  int from, to;      // positions, none for a block without a part

  __device__ __forceinline__ Part(const Decode &d, int position) {
    const int across = d.heads / QUERIES, groups = d.heads / d.kvHeads / QUERIES;
    group = blockIdx.x % across, split = blockIdx.x / across, kv = group / groups;
    writes = split == 0 && group % groups == 0;
    const int share = (position + d.splits) / d.splits;
    from = split * share, to = split < d.splits ? min(position + 1, from + share) : 0;
  }
};

// Copies this block's tiles of a matrix.
__device__ __forceinline__ void copy_tiles(
    Filling &filling, const unsigned char *cells, int rows, int columns, int first, int planes,
    int bytes, int lane, u64 policy) {
  const int across = columns / 64, own = across / WARPS;
  for (int tile = first; tile < rows / 16; tile += gridDim.x)
    for (int cell = 0; cell < own; cell++)
      for (int plane = 0; plane < planes; plane++) {
        begin_stage(filling, bytes, WARPS * bytes, lane);
        if (lane < WARPS)
          copy(filling.ring, lane, 0,
               cells + (((long long)tile * across + lane * own + cell) * planes + plane) * bytes, bytes,
               policy);
        filling.ring.next(bytes);
      }
}

// Copies this block's part of a cache: to each warp its next positions' keys, then their values.
__device__ __forceinline__ void copy_cache(
    const Decode &d, Filling &filling, const Layer &layer, const Part &part, int lane, u64 policy) {
  const long long cache = (long long)part.kv * d.capacity * HEAD;
  for (int from = part.from; from < part.to; from += WARPS * attend::AHEAD) {
    const int count = min(part.to - from, WARPS * attend::AHEAD);
    begin_stage(filling, PLANE, count * HEAD * 8, lane);
    const int own = min(count - lane * attend::AHEAD, attend::AHEAD);
    if (lane < WARPS && own > 0) {
      const long long at = cache + (long long)(from + lane * attend::AHEAD) * HEAD;
      copy(filling.ring, lane, 0, layer.keys + at, own * HEAD * 4, policy);
      copy(filling.ring, lane, PLANE / 2, layer.values + at, own * HEAD * 4, policy);
    }
    filling.ring.next(PLANE);
  }
}

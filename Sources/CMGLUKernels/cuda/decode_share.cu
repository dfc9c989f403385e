// decode_share: which part of every matrix and of the cache is a block's, and in which order they go
// through the ring. A part of decode.cu, which includes it: it takes its Decode and Layer, and the
// steps of a layer.

// A block's part of attention: query heads and, of a sequence's chunks of 64 positions, every one of SPLITS.
struct Share {
  int group, split;  // of query heads, of chunks
  int kv;
  int chunks;        // of the sequence, up to the new row's; none for a block without a part
  bool writes;       // the new row to the cache

  __device__ __forceinline__ Share(const Decode &d, int position) {
    const int across = d.heads / QUERIES, groups = d.heads / d.kvHeads / QUERIES;
    group = blockIdx.x % across, split = blockIdx.x / across, kv = group / groups;
    chunks = split < SPLITS ? position / attend::BLOCK + 1 : 0;
    writes = group % groups == 0 && split == (chunks - 1) % SPLITS;
  }
};

// Where a sequence's blocks of the cache are named.
__device__ __forceinline__ const int *block_table(const Decode &d) {
  return d.blockTables + (long long)*d.slot * d.blocksPerSequence;
}

// A matrix and a block's tiles of it: from the first on, as many apart as there are blocks. A stage of
// the ring has a cell of a tile for each warp or, of a unit of two planes, half of one; a tile's last
// stage has what is left.
struct Matrix {
  const unsigned char *cells;
  int rows, columns, first;
  int parts, size;  // of a tile: cells, or halves of them; bytes of each

  __device__ __forceinline__ Matrix(const Decode &d, const Layer &own, bool isHead, int step) {
    int planes = 1;
    rows = d.hidden, columns = d.hidden, first = blockIdx.x, size = PLANE;
    switch (step) {
      case QKV:
        cells = own.qkv, first = gridDim.x - 1 - blockIdx.x;
        rows = isHead ? d.vocabulary : (d.heads + 2 * d.kvHeads) * HEAD;
        break;
      case OUTPUT: cells = own.output, columns = d.heads * HEAD; break;
      case UP:
        cells = own.up, rows = d.intermediate, size = CELL, planes = UNIT_PLANES;
        break;
      default: cells = own.down, columns = d.intermediate;
    }
    parts = columns / 64 * planes;
  }
  __device__ __forceinline__ int tiles() const { return (rows + 15) / 16; }
  __device__ __forceinline__ int stages() const { return (parts + WARPS - 1) / WARPS; }
};

// What of a block's share comes next: a stage of a matrix, or all of a cache.
struct Course {
  int layer, step, tile, stage;
  Matrix matrix;

  __device__ __forceinline__ Course(const Decode &d, const Layer *layers)
      : layer(0), step(QKV), stage(0), matrix(d, layers[0], false, QKV) {
    tile = matrix.first;
    find(d, layers);
  }
  __device__ __forceinline__ bool is_end(const Decode &d) const { return ::is_end(d, layer, step); }

  __device__ __forceinline__ void next(const Decode &d, const Layer *layers) {
    if (step != ATTENTION && ++stage < matrix.stages()) return;
    stage = 0;
    if (step != ATTENTION) tile += gridDim.x;
    else begin_next(d, layers);
    find(d, layers);
  }
  // Goes on to what the block has a tile of.
  __device__ __forceinline__ void find(const Decode &d, const Layer *layers) {
    while (!is_end(d) && step != ATTENTION && tile >= matrix.tiles()) begin_next(d, layers);
  }
  __device__ __forceinline__ void begin_next(const Decode &d, const Layer *layers) {
    if (step == DOWN) step = QKV, layer++;
    else step++;
    if (is_end(d) || step == ATTENTION) return;
    matrix = Matrix(d, layers[layer], layer == d.count, step);
    tile = matrix.first;
  }
  __device__ __forceinline__ const unsigned char *from() const {
    return matrix.cells + ((long long)tile * matrix.parts + stage * WARPS) * matrix.size;
  }
  __device__ __forceinline__ int bytes() const {
    return min(WARPS, matrix.parts - stage * WARPS) * matrix.size;
  }
};

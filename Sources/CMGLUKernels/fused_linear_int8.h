// 8-bit weights and activations on any processor: integer sums of a group, scaled into float32.
INLINE void int8_row(int count, int planes, int inputs, const row_view *r, vf *out) {
  typedef int32_t wide __attribute__((vector_size(LANES * 4)));
  stream_sums sums = {}, none = {};
  for (int64_t g = 0; g < group_count(r->columns); g++) {
    const int64_t left = r->columns - g * CMGLU_GROUP;
    const uint32_t *bits = group_bits(r, g);
    EACH(plane, planes) EACH(n, inputs) {
      int8_t w[CMGLU_GROUP] = {};
      memcpy(w, r->w[plane] + g * CMGLU_GROUP, (size_t)(left < CMGLU_GROUP ? left : CMGLU_GROUP));
      const char *row = r->x + n * r->size;
      wide integers[MOST_STREAMS] = {};
      for (int j = 0; j < CMGLU_GROUP; j += LANES) {
        wide p = __builtin_convertvector(*(const vb *)(w + j), wide) *
                 __builtin_convertvector(*(const vb *)(row + g * CMGLU_GROUP + j), wide);
        integers[count] += p;
        for (int i = 0; i < count; i++) {
          wide lane;
          for (int k = 0; k < LANES; k++) lane[k] = 1u << (k + j);
          integers[i] += p & ((((wide){} + (int32_t)bits[2 * i]) & lane) == lane);
        }
      }
      const float *scales = (const float *)(row + scale_offset(r->columns));
      const vf scale = splat(load_half(r->scales[plane], g) * scales[g]);
      vf *s = sums[n];
      s[count + plane] += __builtin_convertvector(integers[count], vf) * scale;
      for (int i = 0; i < count; i++) s[i] += __builtin_convertvector(integers[i], vf) * scale;
    }
  }
  store_sums(count + planes, inputs, sums, none, out);
}

// The body of every kernels_<isa>.c, which defines CMGLU_LANES and CMGLU_NAME.
#include "names.h"
#include "vector.h"

#include "units.h"

#include "decoder.h"

#include "attend_rows.h"

#include "gemm.h"

#include "fused_linear.h"

extern const cmglu_kernels CMGLU_TABLE(CMGLU_NAME);
const cmglu_kernels CMGLU_TABLE(CMGLU_NAME) = {
    .name = CMGLU_STRING(CMGLU_NAME),
    .lanes = CMGLU_LANES,
    .combine = combine,
    .combine_backward = combine_backward,
    .stack_masked = stack_masked,
    .unstack_gradient = unstack_gradient,
    .route = route,
    .route_backward = route_backward,
    .rms_norm = rms_norm,
    .rms_norm_backward = rms_norm_backward,
    .rope = rope,
    .softmax_row = softmax_row,
    .probability_row = probability_row,
    .softmax_row_backward = softmax_row_backward,
    .dot = dot,
    .attend = attend,
    .attend_rows = attend_rows,
    .cross_entropy = cross_entropy,
    .distill = distill,
    .log_sum_exp = log_sum_exp,
    .adamw = adamw,
    .sum_of_squares = sum_of_squares,
    .add = add,
    .gemm = gemm,
};

// The body of a fused_linear_<isa>.c: what an extension of an instruction set changes.
#include "names.h"
#include "vector.h"

#include "units.h"

#include "fused_linear.h"

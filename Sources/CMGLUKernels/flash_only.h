// The body of a flash_<isa>.c: what an extension of an instruction set changes.
#include "names.h"
#include "vector.h"

#include "units.h"

#include "flash.h"

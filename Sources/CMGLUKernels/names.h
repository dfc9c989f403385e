// Names made of CMGLU_NAME, which a kernels_<isa>.c or fused_linear_<isa>.c defines.
#define CMGLU_JOIN_(a, b) a##b
#define CMGLU_JOIN(a, b) CMGLU_JOIN_(a, b)
#define CMGLU_STRING_(name) #name
#define CMGLU_STRING(name) CMGLU_STRING_(name)
#define CMGLU_TABLE(name) CMGLU_JOIN(cmglu_kernels_, name)

// A new file is an #embed and a function that returns it.
#include "CMGLUResources.h"

static const char configuration_mglu[] = {
#embed "python/configuration_mglu.py" suffix(, 0)
};
static const char modeling_mglu[] = {
#embed "python/modeling_mglu.py" suffix(, 0)
};
static const char unicode_tables[] = {
#embed "unicode/tables.txt" suffix(, 0)
};
static const char comparison_page[] = {
#embed "pages/comparison.html" suffix(, 0)
};
static const char drawing_style[] = {
#embed "pages/drawing.css" suffix(, 0)
};
static const char trial_page[] = {
#embed "pages/trial.html" suffix(, 0)
};

const char *cmglu_configuration_py(void) { return configuration_mglu; }
const char *cmglu_modeling_py(void) { return modeling_mglu; }
const char *cmglu_unicode_tables(void) { return unicode_tables; }
const char *cmglu_comparison_page(void) { return comparison_page; }
const char *cmglu_drawing_style(void) { return drawing_style; }
const char *cmglu_trial_page(void) { return trial_page; }

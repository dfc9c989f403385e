// Files that the libraries carry, as text that ends with a zero.
#ifndef CMGLU_RESOURCES_H
#define CMGLU_RESOURCES_H

// What transformers needs to load a model folder.
const char *_Nonnull cmglu_configuration_py(void);
const char *_Nonnull cmglu_modeling_py(void);

// Decompositions, combining classes and scripts of Unicode, as Tests/Reference/unicode_tables.py has them.
const char *_Nonnull cmglu_unicode_tables(void);

// Web pages. Places to fill stand in double braces, such as {{title}}.
const char *_Nonnull cmglu_comparison_page(void);  // the report of a comparison
const char *_Nonnull cmglu_drawing_style(void);    // CSS of that page and of its drawings
const char *_Nonnull cmglu_trial_page(void);       // what the server shows at `/`

#endif

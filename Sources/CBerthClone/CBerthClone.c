#include "CBerthClone.h"

#include "CBerthSystem.h"

#pragma once

#include "berth_process.h"

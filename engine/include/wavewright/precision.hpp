#pragma once

#include <string>

namespace wavewright {

// How matrices are stored. float32 is exact. bfloat16 rounds weights to 8 bits of mantissa. int8 rounds weights to
// 8 bits with a scale for each row, and inputs to 8 bits with a scale for each vector.
enum class Precision { float32, bfloat16, int8 };

// Throws Error where no precision has the name.
Precision precision_of(const std::string& name);

}  // namespace wavewright

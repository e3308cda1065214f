#pragma once

namespace wavewright {

// How matrices are stored. float32 is exact; bfloat16 rounds weights to 8 bits of mantissa; int8 to 8 bits and a
// scale for each row, and what they are multiplied with to 16 bits and a scale for each vector.
enum class Precision { float32, bfloat16, int8 };

}  // namespace wavewright

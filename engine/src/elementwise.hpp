// Functions of each element of vectors. Each thread computes its own rows and streams, as a dense layer of that size
// does.
#pragma once

#include "runtime.hpp"

namespace wavewright {

// y = max(x, 0)
void relu(const Runtime& runtime, int thread, const VectorsView& x, const VectorsView& y);
// y += x, where x begins anew if it is shorter than y.
void add(const Runtime& runtime, int thread, const VectorsView& x, const VectorsView& y);
// x = gelu(x), by tanh
void gelu(const Runtime& runtime, int thread, const VectorsView& x);
// x += a * sigmoid(b), where sums holds a and b packed in two groups.
void glu(const Runtime& runtime, int thread, const VectorsView& sums, const VectorsView& x);
// y = x divided by its root mean square, where x has `size` elements. Computes all rows of the thread's own streams.
void normalise(const Runtime& runtime, int thread, const VectorsView& x, int size, const VectorsView& y);
// z = tanh(a) * sigmoid(b), where sums holds a and b packed in two groups.
void gate(const Runtime& runtime, int thread, const VectorsView& sums, const VectorsView& z);

}  // namespace wavewright

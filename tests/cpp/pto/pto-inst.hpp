// Declarations of what the generated C++ uses, for a syntax check without the vendor's library.
//
// Nothing here computes anything. Types of tiles, shapes and global tensors take their real template parameters and
// constructors count their arguments, and every instruction takes a fixed number of tiles, tensors and numbers, so
// that a missing or superfluous argument, a wrong kind or an unknown name is a compile error.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

// Qualifiers of functions and memory. An ordinary compiler has none of them.
#define AICORE
#define __global__
#define __gm__
#define __ubuf__
#define __cbuf__
#define __ca__
#define __cb__
#define __cc__
#define __fbuf__

// Both cores at once, so that both kinds of sections are read.
#define __DAV_CUBE__ 1
#define __DAV_VEC__ 1

// Small floats: converted to float for every computation.
template <int Kind, typename Bits>
struct SmallFloat {
  SmallFloat() = default;
  constexpr SmallFloat(float) : bits(0) {}
  constexpr operator float() const { return 0.0f; }
  Bits bits;
};
using half = SmallFloat<0, uint16_t>;
using bfloat16_t = SmallFloat<1, uint16_t>;
using float8_e4m3_t = SmallFloat<2, uint8_t>;
using float8_e5m2_t = SmallFloat<3, uint8_t>;
using hifloat8_t = SmallFloat<4, uint8_t>;
using float4_e1m2x2_t = SmallFloat<5, uint8_t>;
using float4_e2m1x2_t = SmallFloat<6, uint8_t>;

// Pipes, flags and the core.
enum pipe_t {
  PIPE_S, PIPE_V, PIPE_M, PIPE_MTE1, PIPE_MTE2, PIPE_MTE3, PIPE_ALL, PIPE_MTE4, PIPE_MTE5, PIPE_V2, PIPE_FIX,
  VIRTUAL_PIPE_MTE2_L1A, VIRTUAL_PIPE_MTE2_L1B, PIPE_NUM, PIPE_UNASSIGNED = 99,
};
enum event_t { EVENT_ID0, EVENT_ID1, EVENT_ID2, EVENT_ID3, EVENT_ID4, EVENT_ID5, EVENT_ID6, EVENT_ID7 };
enum mem_dsb_t { DSB_ALL, DSB_DDR, DSB_UB };
enum class cache_line_t { SINGLE_CACHE_LINE, ENTIRE_DATA_CACHE };
constexpr uint16_t FFTS_MODE_VAL = 2;

void set_flag(pipe_t, pipe_t, event_t);
void wait_flag(pipe_t, pipe_t, event_t);
void pipe_barrier(pipe_t);
void get_buf(pipe_t, int, int);
void rls_buf(pipe_t, int, int);
void set_mask_norm();
void set_vector_mask(uint64_t, uint64_t);
int64_t get_block_idx();
int64_t get_block_num();
int64_t get_subblockid();
int64_t get_subblockdim();
void set_ffts_base_addr(uint64_t);
uint16_t getFFTSMsg(uint16_t, uint16_t);
void ffts_cross_core_sync(pipe_t, uint64_t);
void wait_flag_dev(int64_t);
void __builtin_cce_ffts_cross_core_sync(pipe_t, uint64_t);
void __builtin_cce_wait_flag_dev(int64_t);
void dsb(mem_dsb_t);
void dcci(void *, cache_line_t);
void trap();
namespace cce {
void printf(const char *, ...);
}

namespace pto {

enum class TileType { Vec, Mat, Left, Right, Acc, Bias, Scaling };
enum class BLayout { RowMajor, ColMajor };
enum class SLayout { NoneBox, RowMajor, ColMajor };
enum class PadValue { Null, Zero, Max, Min };
enum class CompactMode { Null, Normal, RowPlusOne };
enum class Layout { ND, DN, NZ };
enum class RoundMode { CAST_NONE, CAST_RINT, CAST_ROUND, CAST_FLOOR, CAST_CEIL, CAST_TRUNC, CAST_ODD };
enum class SaturationMode { ON, OFF };
enum class CmpMode { EQ, NE, LT, LE, GT, GE };
enum class MaskPattern { P0101 = 1, P1010, P0001, P0010, P0100, P1000, P1111 };
enum class QuantType { INT8_SYM, INT8_ASYM };
enum class AtomicType { AtomicNone, AtomicAdd };
enum class STPhase { Unspecified, Partial = 2, Final };
enum class ReluPreMode { NoRelu, NormalRelu };
enum class AccToVecMode { SingleModeVec0, SingleModeVec1, DualModeSplitM, DualModeSplitN };
enum class TileSplitAxis { TILE_NO_SPLIT, TILE_UP_DOWN, TILE_LEFT_RIGHT };
enum class Direction { DIR_C2V = 1, DIR_V2C, DIR_BOTH };
enum class SyncAllMode { Hard, Soft };
enum class SyncCoreType { AIVOnly, AICOnly, Mix };

struct MrgSortExecutedNumList {
  uint16_t list[4];
};

// A tile: element, size, layout, valid size. A valid size of -1 is given to the constructor.
template <TileType Place, typename Element, int Rows, int Cols, BLayout Base, int ValidRows, int ValidCols,
          SLayout Inner, int Fractal, PadValue Pad, CompactMode Compact>
struct Tile {
  static_assert(Rows > 0 && Cols > 0, "a tile has a size");
  static_assert(ValidRows >= -1 && ValidRows <= Rows, "valid rows lie inside the tile");
  static_assert(ValidCols >= -1 && ValidCols <= Cols, "valid columns lie inside the tile");
  static_assert(Fractal == 32 || Fractal == 512 || Fractal == 1024, "size of a box");
  using Item = Element;
  static constexpr TileType place = Place;
  static constexpr int open = (ValidRows == -1) + (ValidCols == -1);

  Tile() = default;
  template <typename... Sizes, typename = std::enable_if_t<(sizeof...(Sizes) > 0)>>
  explicit Tile(Sizes... sizes) {
    static_assert(sizeof...(Sizes) == open, "one argument for each open valid size");
    static_assert((std::is_integral_v<Sizes> && ...), "valid sizes are integers");
  }
  std::conditional_t<Place == TileType::Bias, uint64_t, Element *> data();
  Element GetValue(size_t);
  void SetValue(size_t, Element);
  void SetValidShape(size_t, size_t);
  int32_t GetValidRow();
  int32_t GetValidCol();
};

// Five extents or strides. Those that are -1 are given to the constructor.
template <int64_t... Numbers>
struct Extents {
  static_assert(sizeof...(Numbers) == 5, "five dimensions");
  static constexpr int open = ((Numbers == -1) + ...);
  Extents() = default;
  template <typename... Values, typename = std::enable_if_t<(sizeof...(Values) > 0)>>
  explicit Extents(Values... values) {
    static_assert(sizeof...(Values) == open, "one argument for each open extent");
    static_assert((std::is_integral_v<Values> && ...), "extents are integers");
  }
};
template <int64_t... Numbers>
struct Shape : Extents<Numbers...> {
  using Extents<Numbers...>::Extents;
};
template <int64_t... Numbers>
struct Stride : Extents<Numbers...> {
  using Extents<Numbers...>::Extents;
};

// A rectangular part of global memory.
template <typename Element, typename ShapeT, typename StrideT, Layout Order>
struct GlobalTensor {
  using Item = Element;
  GlobalTensor() = default;
  explicit GlobalTensor(std::nullptr_t) {}
  GlobalTensor(__gm__ Element *, const ShapeT &, const StrideT &) {}
  __gm__ Element *data();
};

template <typename T>
struct IsTile : std::false_type {};
template <TileType P, typename E, int R, int C, BLayout B, int VR, int VC, SLayout S, int F, PadValue Q, CompactMode M>
struct IsTile<Tile<P, E, R, C, B, VR, VC, S, F, Q, M>> : std::true_type {};
template <typename T>
struct IsTensor : std::false_type {};
template <typename E, typename S, typename T, Layout L>
struct IsTensor<GlobalTensor<E, S, T, L>> : std::true_type {};

template <typename... T>
using Tiles = std::enable_if_t<(IsTile<T>::value && ...)>;
template <typename... T>
using Tensors = std::enable_if_t<(IsTensor<T>::value && ...)>;
template <typename T>
using Slot = std::enable_if_t<IsTile<T>::value || IsTensor<T>::value>;
template <typename X>
using Number = std::enable_if_t<std::is_convertible_v<X, float>>;
template <typename... X>
using Integers = std::enable_if_t<(std::is_integral_v<X> && ...)>;

// A queue between cores.
template <int Flag, Direction Way, int SlotSize, int Slots, int LocalSlots, bool NoSplit>
struct TPipe {
  static_assert(Flag >= 0 && Flag < 16 && SlotSize > 0 && Slots > 0 && LocalSlots > 0, "a pipe has slots and flags");
  template <typename Element>
  TPipe(__gm__ Element *, uint32_t, uint32_t) {}
};
template <typename T>
struct IsPipe : std::false_type {};
template <int F, Direction D, int S, int N, int L, bool B>
struct IsPipe<TPipe<F, D, S, N, L, B>> : std::true_type {};
template <typename T>
using Pipe = std::enable_if_t<IsPipe<T>::value>;

// Tiles only, by their number.
#define PTO_TILES_2(NAME) \
  template <typename D, typename A, typename = Tiles<D, A>> void NAME(D &, A &)
#define PTO_TILES_3(NAME) \
  template <typename D, typename A, typename B, typename = Tiles<D, A, B>> void NAME(D &, A &, B &)
#define PTO_TILES_4(NAME) \
  template <typename D, typename A, typename B, typename C, typename = Tiles<D, A, B, C>> \
  void NAME(D &, A &, B &, C &)
#define PTO_TILES_5(NAME) \
  template <typename D, typename A, typename B, typename C, typename E, typename = Tiles<D, A, B, C, E>> \
  void NAME(D &, A &, B &, C &, E &)
#define PTO_TILES_6(NAME) \
  template <typename D, typename A, typename B, typename C, typename E, typename F, \
            typename = Tiles<D, A, B, C, E, F>> \
  void NAME(D &, A &, B &, C &, E &, F &)
// Two tiles and a number.
#define PTO_SCALAR(NAME) \
  template <typename D, typename A, typename X, typename = Tiles<D, A>, typename = Number<X>> \
  void NAME(D &, A &, X)
// Two tiles, a number and a scratch tile.
#define PTO_SCALAR_TMP(NAME) \
  template <typename D, typename A, typename X, typename T, typename = Tiles<D, A, T>, typename = Number<X>> \
  void NAME(D &, A &, X, T &)
// Two tiles, a row and a column.
#define PTO_WINDOW(NAME) \
  template <typename D, typename A, typename = Tiles<D, A>> void NAME(D &, A &, size_t, size_t)
#define PTO_WINDOW_FP(NAME) \
  template <typename D, typename A, typename F, typename = Tiles<D, A, F>> \
  void NAME(D &, A &, F &, size_t, size_t)

PTO_TILES_2(TABS); PTO_TILES_2(TEXP); PTO_TILES_2(TLOG); PTO_TILES_2(TNEG); PTO_TILES_2(TNOT); PTO_TILES_2(TRECIP);
PTO_TILES_2(TRELU); PTO_TILES_2(TSQRT); PTO_TILES_2(TRSQRT); PTO_TILES_3(TRSQRT);
PTO_TILES_2(TCOLEXPAND); PTO_TILES_2(TROWEXPAND); PTO_TILES_2(TCOLMAX); PTO_TILES_2(TCOLMIN); PTO_TILES_2(TCOLPROD);
PTO_TILES_2(TFILLPAD); PTO_TILES_2(TFILLPAD_INPLACE); PTO_TILES_2(TFILLPAD_EXPAND); PTO_TILES_2(TRESHAPE);

PTO_TILES_3(TADD); PTO_TILES_3(TSUB); PTO_TILES_3(TMUL); PTO_TILES_3(TDIV); PTO_TILES_3(TMAX); PTO_TILES_3(TMIN);
PTO_TILES_3(TAND); PTO_TILES_3(TOR); PTO_TILES_3(TSHL); PTO_TILES_3(TSHR); PTO_TILES_3(TFMOD); PTO_TILES_3(TCONCAT);
PTO_TILES_5(TCONCAT); PTO_TILES_3(TPOW); PTO_TILES_4(TPOW);
PTO_TILES_3(TPARTADD); PTO_TILES_3(TPARTMUL); PTO_TILES_3(TPARTMAX); PTO_TILES_3(TPARTMIN);
PTO_TILES_6(TPARTARGMAX); PTO_TILES_6(TPARTARGMIN);
PTO_TILES_3(TCOLEXPANDADD); PTO_TILES_3(TCOLEXPANDSUB); PTO_TILES_3(TCOLEXPANDMUL); PTO_TILES_3(TCOLEXPANDDIV);
PTO_TILES_3(TCOLEXPANDMAX); PTO_TILES_3(TCOLEXPANDMIN); PTO_TILES_3(TCOLEXPANDEXPDIF);
PTO_TILES_3(TROWEXPANDADD);
PTO_TILES_4(TROWEXPANDADD);
PTO_TILES_3(TROWEXPANDSUB); PTO_TILES_3(TROWEXPANDMUL); PTO_TILES_3(TROWEXPANDDIV); PTO_TILES_3(TROWEXPANDMAX);
PTO_TILES_3(TROWEXPANDMIN); PTO_TILES_3(TROWEXPANDEXPDIF);
PTO_TILES_4(TROWEXPANDSUB); PTO_TILES_4(TROWEXPANDMUL); PTO_TILES_4(TROWEXPANDDIV); PTO_TILES_4(TROWEXPANDMAX);
PTO_TILES_4(TROWEXPANDMIN); PTO_TILES_4(TROWEXPANDEXPDIF);
PTO_TILES_3(TROWSUM); PTO_TILES_3(TROWMAX); PTO_TILES_3(TROWMIN); PTO_TILES_3(TROWPROD); PTO_TILES_3(TROWARGMAX);
PTO_TILES_3(TROWARGMIN); PTO_TILES_3(TCOLARGMAX); PTO_TILES_3(TCOLARGMIN); PTO_TILES_3(TTRANS);
PTO_TILES_4(TREM); PTO_TILES_4(TXOR); PTO_TILES_4(TPRELU);
PTO_TILES_3(TSORT32); PTO_TILES_4(TSORT32); PTO_TILES_5(TSEL); PTO_TILES_3(TSCATTER); PTO_TILES_3(TGATHERB);
PTO_TILES_4(TGATHER);

PTO_SCALAR(TADDS); PTO_SCALAR(TSUBS); PTO_SCALAR(TMULS); PTO_SCALAR(TMAXS); PTO_SCALAR(TMINS); PTO_SCALAR(TANDS);
PTO_SCALAR(TORS); PTO_SCALAR(TSHLS); PTO_SCALAR(TSHRS); PTO_SCALAR(TFMODS); PTO_SCALAR(TLRELU); PTO_SCALAR(TAXPY);
PTO_SCALAR(TDIVS); PTO_SCALAR(TPOWS); PTO_SCALAR_TMP(TPOWS); PTO_SCALAR_TMP(TXORS); PTO_SCALAR_TMP(TREMS);
template <typename D, typename X, typename A, typename = Tiles<D, A>, typename = Number<X>>
void TDIVS(D &, X, A &);
template <typename D, typename X, typename = Tiles<D>, typename = Number<X>>
void TEXPANDS(D &, X);
template <typename D, typename M, typename A, typename T, typename X, typename = Tiles<D, M, A, T>,
          typename = Number<X>>
void TSELS(D &, M &, A &, T &, X);

PTO_WINDOW(TEXTRACT); PTO_WINDOW(TINSERT); PTO_WINDOW_FP(TEXTRACT_FP); PTO_WINDOW_FP(TINSERT_FP);

PTO_TILES_3(TMATMUL); PTO_TILES_4(TMATMUL_ACC); PTO_TILES_4(TMATMUL_BIAS); PTO_TILES_5(TMATMUL_MX);
PTO_TILES_6(TMATMUL_MX); PTO_TILES_3(TGEMV); PTO_TILES_4(TGEMV_ACC); PTO_TILES_4(TGEMV_BIAS);

template <typename D, typename A, typename = Tiles<D, A>>
void TCVT(D &, A &, RoundMode);
template <typename D, typename A, typename = Tiles<D, A>>
void TCVT(D &, A &, RoundMode, SaturationMode);
template <typename D, typename A, typename T, typename = Tiles<D, A, T>>
void TCVT(D &, A &, T &, RoundMode);
template <typename D, typename A, typename T, typename = Tiles<D, A, T>>
void TCVT(D &, A &, T &, RoundMode, SaturationMode);
template <typename D, typename A, typename B, typename = Tiles<D, A, B>>
void TCMP(D &, A &, B &, CmpMode);
template <typename D, typename A, typename X, typename = Tiles<D, A>, typename = Number<X>>
void TCMPS(D &, A &, X, CmpMode);
PTO_TILES_2(TCOLSUM);
template <typename D, typename A, typename T, typename = Tiles<D, A, T>>
void TCOLSUM(D &, A &, T &, bool);
template <typename D, typename Int, int Descending>
void TCI(D &, Int);
template <typename D, typename T, typename Int, int Descending, typename = Tiles<D, T>>
void TCI(D &, Int, T &);
template <typename D, int Upper>
void TTRI(D &, int);
template <QuantType Q, typename D, typename A, typename F, typename = Tiles<D, A, F>>
void TQUANT(D &, A &, F &);
template <QuantType Q, typename D, typename A, typename F, typename O, typename = Tiles<D, A, F, O>>
void TQUANT(D &, A &, F &, O *);
template <QuantType Q, typename D, typename A, typename F, typename T, typename = Tiles<D, A, F, T>>
void TQUANT(D &, A &, F &, T &);
template <QuantType Q, typename D, typename A, typename F, typename T, typename O, typename = Tiles<D, A, F, T, O>>
void TQUANT(D &, A &, F &, T &, O *);
template <typename D, typename A, typename S, typename O, typename = Tiles<D, A, S, O>>
void TDEQUANT(D &, A &, S &, O &);
template <typename D, typename A, MaskPattern M>
void TGATHER(D &, A &);
template <typename D, typename A, typename C, typename T, CmpMode M, int Offset, typename K>
void TGATHER(D &, A &, K, C &, T &);
template <typename D, typename A, typename = Tiles<D, A>>
void TMRGSORT(D &, A &, uint32_t);
template <typename D, typename T, typename A, typename B, bool Exhausted>
void TMRGSORT(D &, MrgSortExecutedNumList &, T &, A &, B &);
template <typename D, typename T, typename A, typename B, typename C, bool Exhausted>
void TMRGSORT(D &, MrgSortExecutedNumList &, T &, A &, B &, C &);
template <typename D, typename T, typename A, typename B, typename C, typename E, bool Exhausted>
void TMRGSORT(D &, MrgSortExecutedNumList &, T &, A &, B &, C &, E &);
template <typename A, typename = Slot<A>>
void TPRINT(A &);
template <typename... Events>
void TSYNC(Events &...);
template <typename D, typename = Tiles<D>>
void TASSIGN(D &, uint64_t);
template <typename A, typename = Tiles<A>>
void SET_QUANT_VECTOR(A &);
template <SyncCoreType C>
void SYNCALL();
template <SyncAllMode M, SyncCoreType C, typename G, typename = Tensors<G>>
void SYNCALL(G &, int32_t);

// Transfers.
template <typename D, typename G, typename = Tiles<D>, typename = Tensors<G>>
void TLOAD(D &, G &);
template <typename D, typename G, typename = Tiles<D>, typename = Tensors<G>>
void TPREFETCH(D &, G &);
template <typename G, typename A, typename = Tensors<G>, typename = Tiles<A>>
void TSTORE(G &, A &);
template <STPhase P, typename G, typename A, typename = Tensors<G>, typename = Tiles<A>>
void TSTORE(G &, A &);
template <typename A, typename G, AtomicType T>
void TSTORE(G &, A &);
template <STPhase P, typename A, typename G, AtomicType T>
void TSTORE(G &, A &);
template <typename A, typename G, AtomicType T, ReluPreMode R>
void TSTORE(G &, A &);
template <STPhase P, typename A, typename G, AtomicType T, ReluPreMode R>
void TSTORE(G &, A &);
template <typename A, typename G, AtomicType T, ReluPreMode R, typename X>
void TSTORE(G &, A &, X);
template <STPhase P, typename A, typename G, AtomicType T, ReluPreMode R, typename X>
void TSTORE(G &, A &, X);
template <typename G, typename A, typename F, typename = Tensors<G>, typename = Tiles<A, F>>
void TSTORE_FP(G &, A &, F &);
PTO_TILES_2(TMOV);
template <typename D, typename A, ReluPreMode R>
void TMOV(D &, A &);
template <typename D, typename A, AccToVecMode M, ReluPreMode R>
void TMOV(D &, A &);
template <typename D, typename A, typename X, typename = Tiles<D, A>, typename = Number<X>>
void TMOV(D &, A &, X);
template <typename D, typename A, ReluPreMode R, typename X>
void TMOV(D &, A &, X);
template <typename D, typename A, AccToVecMode M, ReluPreMode R, typename X>
void TMOV(D &, A &, X);
template <typename D, typename A, typename F, AccToVecMode M, ReluPreMode R>
void TMOV(D &, A &, F &);
PTO_TILES_3(TMOV_FP);
template <typename D, typename A, typename F, ReluPreMode R>
void TMOV_FP(D &, A &, F &);

// Queues between cores.
template <typename P, typename A, TileSplitAxis S, typename = Pipe<P>, typename = Slot<A>>
void TPUSH(P &, A &);
template <typename P, typename A, TileSplitAxis S, typename = Pipe<P>, typename = Slot<A>>
void TPOP(P &, A &);
template <typename P, typename A, TileSplitAxis S, typename = Pipe<P>, typename = Tensors<A>>
void TALLOC(P &, A &);
template <typename P, TileSplitAxis S, typename = Pipe<P>>
void TFREE(P &);
template <typename P, typename A, TileSplitAxis S, typename = Pipe<P>, typename = Tensors<A>>
void TFREE(P &, A &);

}  // namespace pto

import Tensors
import Testing

@Suite struct ShapeTests {
  @Test func countsThatOverflowAreRefused() {
    #expect(Shape([1 << 40, 1 << 40]) == nil)
    // No elements, but the number of rows or matrices overflows.
    #expect(Shape([0, 1 << 40, 1 << 40]) == nil)
    #expect(Shape([8, 0, 1 << 40, 1 << 40]) == nil)
    #expect(Shape([0, 1 << 40])?.count == 0)
    #expect(Shape([-1]) == nil)
    #expect(Shape([]) == nil)
  }

  @Test func rowsOfAStackAreNumberedConsecutively() throws {
    let shape = try #require(Shape([256, 3, 5]))
    #expect(shape.rows == 15 && shape.rowsPerMatrix == 3 && shape.matrices == 5)
    #expect(shape.bytes(as: .q4_K) == 15 * 144)
  }

  @Test func rowsMustBeWholeBlocks() {
    #expect(GGMLType.q4_K.rowBytes(columns: 128) == nil)
    #expect(GGMLType.q8_0.rowBytes(columns: 64) == 68)
  }
}

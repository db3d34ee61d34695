import OrderedCollections

/// A value of a GGUF's metadata, with the width it is stored in.
public enum MetadataValue: Sendable, Hashable {
  case uint8(UInt8)
  case int8(Int8)
  case uint16(UInt16)
  case int16(Int16)
  case uint32(UInt32)
  case int32(Int32)
  case float32(Float)
  case bool(Bool)
  case string(String)
  case uint64(UInt64)
  case int64(Int64)
  case float64(Double)
  case array(MetadataArray)
}

/// A homogeneous array of a GGUF's metadata. Tokenizers hold hundreds of thousands of elements, so they are not boxed.
public enum MetadataArray: Sendable, Hashable {
  case uint8([UInt8])
  case int8([Int8])
  case uint16([UInt16])
  case int16([Int16])
  case uint32([UInt32])
  case int32([Int32])
  case float32([Float])
  case bool([Bool])
  case string([String])
  case uint64([UInt64])
  case int64([Int64])
  case float64([Double])
  case array([MetadataArray])
}

/// Keys and values in file order.
public typealias Metadata = OrderedDictionary<String, MetadataValue>

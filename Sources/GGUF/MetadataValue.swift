import OrderedCollections

/// A metadata value of a GGUF file, with its stored type.
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

/// An array of metadata values of one type. Elements are not boxed, because tokenizers have hundreds of thousands.
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

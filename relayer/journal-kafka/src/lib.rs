//! Journal on Kafka.

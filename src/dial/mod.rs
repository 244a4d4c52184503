//! stub
/// s
#[derive(Debug, Clone)]
pub struct ServerAddress;
/// s
#[derive(Debug, Clone)]
pub struct ServerTls;

//! The rights of a thread that works as another user.

use pyo3::prelude::*;

use crate::descriptor::os_error;

/// Gives this thread, and no other one, the rights of a user for good: its groups, its group, itself.
///
/// The calls of the C library would change all threads of the process.
#[pyfunction]
#[allow(clippy::needless_pass_by_value)] // as Python gives it
pub fn act_as(uid: u32, gid: u32, groups: Vec<u32>) -> PyResult<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Gid, Uid};
        use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

        let groups: Vec<Gid> = groups.into_iter().map(Gid::from_raw).collect();
        let (user, group) = (Uid::from_raw(uid), Gid::from_raw(gid));
        set_thread_groups(&groups)
            .and_then(|()| set_thread_res_gid(group, group, group))
            .and_then(|()| set_thread_res_uid(user, user, user))
            .map_err(|error| os_error(error.into()))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (uid, gid, groups);
        Err(os_error(std::io::Error::from_raw_os_error(1))) // EPERM
    }
}

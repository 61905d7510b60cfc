-- history.late_results: what attempts have said after their end
create index changes_late on changes (task, seq) where kind = 'late_result';
